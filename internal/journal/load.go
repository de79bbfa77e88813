package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/uuid"
)

func (j *Journal) path() string { return filepath.Join(j.dir, "journal") }

// load reads what is there and goes on behind it, or in a new file when that
// one is half full or of another size: a node that was killed is back at once.
func (j *Journal) load() error {
	old, err := os.ReadFile(j.path())
	if errors.Is(err, fs.ErrNotExist) {
		j.id = uuid.New()
		return j.rewrite()
	}
	if err != nil {
		return err
	}
	end, err := j.read(old)
	if err != nil {
		return err
	}
	if int64(len(old)) != j.size || end > j.size/2 {
		return j.rewrite()
	}
	return j.resume(end)
}

// resume takes the file in use as it is. A journal that cannot be written is
// found out now, not when an answer has come.
func (j *Journal) resume(end int64) error {
	f, err := os.OpenFile(j.path(), os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	j.f, j.end = f, end
	if err := j.append(kindFile, j.id, nil); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Sync(); err != nil {
		return errors.Join(err, f.Close())
	}
	return nil
}

// Peek returns what [Journal.All] of a directory would, whose process has ended.
func Peek(dir string) (map[uuid.UUID][]byte, error) {
	j := &Journal{dir: dir, live: map[uuid.UUID][]byte{}}
	b, err := os.ReadFile(j.path())
	if err != nil {
		return nil, err
	}
	_, err = j.read(b)
	return j.live, err
}

// read collects the live records. One that is not whole was being written when
// the machine stopped, and nobody was told that it is safe: what stands behind
// it is read all the same. It returns where the last record ends.
func (j *Journal) read(b []byte) (end int64, err error) {
	for at := 0; at+headerSize <= len(b); {
		kind, id, payload, ok := decode(b[at:])
		if !ok {
			next := bytes.Index(b[at+1:], []byte(magic))
			if next < 0 {
				break
			}
			at += 1 + next
			continue
		}
		switch kind {
		case kindFile:
			j.id = id
		case kindPut:
			j.live[id] = bytes.Clone(payload)
		case kindDrop:
			delete(j.live, id)
		}
		at += headerSize + len(payload)
		end = int64(at)
	}
	if j.id == uuid.Nil {
		return 0, errors.New("the file is not a journal; move it away if nothing in it is wanted")
	}
	return end, nil
}

func decode(b []byte) (kind byte, id uuid.UUID, payload []byte, ok bool) {
	size := int(binary.BigEndian.Uint32(b[5:]))
	if string(b[:4]) != magic || b[4] == kindEnd || size > MaxRecord || headerSize+size > len(b) {
		return 0, uuid.Nil, nil, false
	}
	b = b[:headerSize+size]
	if binary.BigEndian.Uint32(b[9:]) != checksum(b) {
		return 0, uuid.Nil, nil, false
	}
	return b[4], uuid.UUID(b[13:headerSize]), b[headerSize:], true
}

// rewrite puts the live records into a new file of the full size, with zeros
// behind them, and takes it in use. The caller holds mu, or nobody else has j.
func (j *Journal) rewrite() error {
	next := j.path() + ".next"
	f, err := os.OpenFile(next, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	end, err := j.fill(f)
	if err == nil {
		err = os.Rename(next, j.path())
	}
	if err == nil {
		err = syncDir(j.dir)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write the journal anew: %w", err), f.Close())
	}
	if j.f != nil {
		_ = j.f.Close()
	}
	j.f, j.end = f, end
	return nil
}

func (j *Journal) fill(f file) (end int64, err error) {
	records := [][]byte{encode(kindFile, j.id, nil)}
	for id, payload := range j.live {
		records = append(records, encode(kindPut, id, payload))
	}
	for _, r := range records {
		if _, err := f.WriteAt(r, end); err != nil {
			return 0, err
		}
		end += int64(len(r))
	}
	// Written, not only claimed: a hole in the file takes no room on the disk.
	zeros := make([]byte, 1<<20)
	for at := end; at < j.size; at += int64(len(zeros)) {
		if _, err := f.WriteAt(zeros[:min(int64(len(zeros)), j.size-at)], at); err != nil {
			return 0, err
		}
	}
	return end, f.Sync()
}

// syncDir makes a rename last.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
