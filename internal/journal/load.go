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

// load reads what is there and writes it anew: a journal that cannot be written
// is found out now, not when an answer has come.
func (j *Journal) load() error {
	old, err := os.ReadFile(j.path())
	if errors.Is(err, fs.ErrNotExist) {
		j.id = uuid.New()
		return j.rewrite()
	}
	if err != nil {
		return err
	}
	if err := j.read(old); err != nil {
		return err
	}
	return j.rewrite()
}

// Peek returns what [Journal.All] of a directory would, whose process has ended.
func Peek(dir string) (map[uuid.UUID][]byte, error) {
	j := &Journal{dir: dir, live: map[uuid.UUID][]byte{}}
	b, err := os.ReadFile(j.path())
	if err != nil {
		return nil, err
	}
	return j.live, j.read(b)
}

// read collects the live records. One that is not whole was being written when
// the machine stopped, and nobody was told that it is safe: what stands behind
// it is read all the same.
func (j *Journal) read(b []byte) error {
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
	}
	if j.id == uuid.Nil {
		return errors.New("the file is not a journal; move it away if nothing in it is wanted")
	}
	return nil
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
