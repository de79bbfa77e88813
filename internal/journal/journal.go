// Package journal keeps a few small records on this node's disk until somebody
// says that they are safe elsewhere.
//
// It is one preallocated file, so that a disk that fills up cannot keep an
// answer out that room was made for. A record is on the disk when Put returns;
// writers that come together share one fsync. What is dropped may come back
// after a power failure: records are applied by whoever recognises a repeat.
package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"os"
	"path/filepath"
	"sync"

	"github.com/gofrs/flock"
	"github.com/google/uuid"
)

// Sizes, in bytes.
const (
	DefaultSize = 64 << 20  // of the file
	MaxRecord   = 128 << 10 // of one record's payload
	headerSize  = 4 + 1 + 4 + 4 + 16
)

// The kinds of a record.
const (
	kindEnd  byte = iota // nothing was written here yet
	kindFile             // the first: whose journal this is
	kindPut
	kindDrop
)

// file is what a journal needs of its file; a test makes it fail.
type file interface {
	io.ReaderAt
	io.WriterAt
	Sync() error
	Close() error
}

// Journal is open until Close. It is safe for concurrent use.
type Journal struct {
	dir  string
	size int64
	lock *flock.Flock
	id   uuid.UUID

	mu       sync.Mutex
	f        file
	end      int64
	live     map[uuid.UUID][]byte
	reserved int64 // bytes that Reserve promised
	broken   error // of the disk: nothing more is promised
	waiting  []chan error
	syncing  bool
}

// Open opens the journal in a directory, or makes one of the given size. The
// directory is this process's until Close.
func Open(dir string, size int64) (*Journal, error) {
	if size < 4*MaxRecord {
		return nil, fmt.Errorf("journal of %d bytes: give at least %d", size, 4*MaxRecord)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the journal's directory: %w", err)
	}
	j := &Journal{dir: dir, size: size, lock: flock.New(filepath.Join(dir, "lock")), live: map[uuid.UUID][]byte{}}
	if ok, err := j.lock.TryLock(); err != nil || !ok {
		return nil, errors.Join(fmt.Errorf("journal %s is in use by another process; give each node its own", dir), err)
	}
	if err := j.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("open journal %s: %w", dir, err), j.lock.Unlock())
	}
	return j, nil
}

// ID names the journal: it stays with the directory.
func (j *Journal) ID() uuid.UUID { return j.id }

// Close gives the directory back.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.broken = errors.New("the journal is closed")
	return errors.Join(j.f.Close(), j.lock.Unlock())
}

// All returns the records that were put and not dropped.
func (j *Journal) All() map[uuid.UUID][]byte {
	j.mu.Lock()
	defer j.mu.Unlock()
	return maps.Clone(j.live)
}

// Reserve makes room for one record of at most MaxRecord bytes, until release.
// It fails when the disk does, or when too many records wait: then nothing may
// be begun that would have to be kept.
func (j *Journal) Reserve() (release func(), err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	const room = headerSize + MaxRecord
	switch {
	case j.broken != nil:
		return nil, j.broken
	case j.liveSize()+j.reserved+room > j.size/2: // the other half is for those being written anew
		return nil, fmt.Errorf("the journal is full: %d records wait for the log", len(j.live))
	}
	j.reserved += room
	return sync.OnceFunc(func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.reserved -= room
	}), nil
}

// Put writes a record and returns when it is on the disk. The same id again
// replaces what was there.
func (j *Journal) Put(id uuid.UUID, payload []byte) error {
	if len(payload) > MaxRecord {
		return fmt.Errorf("a record of %d bytes: at most %d", len(payload), MaxRecord)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.append(kindPut, id, payload); err != nil {
		return err
	}
	j.live[id] = payload
	return j.synced()
}

// Note writes a record without waiting for the disk: it outlives this process,
// and may be gone after a power failure.
func (j *Journal) Note(id uuid.UUID, payload []byte) error {
	if len(payload) > MaxRecord {
		return fmt.Errorf("a record of %d bytes: at most %d", len(payload), MaxRecord)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.append(kindPut, id, payload); err != nil {
		return err
	}
	j.live[id] = payload
	return nil
}

// Drop forgets a record. It does not wait for the disk: one that comes back is
// harmless.
func (j *Journal) Drop(id uuid.UUID) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, ok := j.live[id]; !ok {
		return
	}
	delete(j.live, id)
	if j.append(kindDrop, id, nil) == nil && len(j.live) == 0 && j.end > j.size/2 {
		j.broken = j.rewrite() // cheap: nothing is live
	}
}

// append writes a record behind the others. The caller holds mu.
func (j *Journal) append(kind byte, id uuid.UUID, payload []byte) error {
	if j.broken != nil {
		return j.broken
	}
	if j.end+int64(headerSize+len(payload)) > j.size {
		if j.broken = j.rewrite(); j.broken != nil {
			return j.broken
		}
	}
	record := encode(kind, id, payload)
	if _, err := j.f.WriteAt(record, j.end); err != nil {
		j.broken = fmt.Errorf("write to the journal: %w", err)
		return j.broken
	}
	j.end += int64(len(record))
	return nil
}

// synced waits until what was written is on the disk. The caller holds mu; it is
// given up in between.
func (j *Journal) synced() error {
	done := make(chan error, 1)
	j.waiting = append(j.waiting, done)
	if !j.syncing {
		j.syncing = true
		go j.sync()
	}
	j.mu.Unlock()
	err := <-done
	j.mu.Lock()
	return err
}

// sync serves all that have written by now with one fsync, and goes on as long
// as others have come meanwhile.
func (j *Journal) sync() {
	j.mu.Lock()
	defer j.mu.Unlock()
	for len(j.waiting) > 0 {
		group, f := j.waiting, j.f
		j.waiting = nil
		j.mu.Unlock()
		err := f.Sync()
		j.mu.Lock()
		switch {
		case j.f != f: // written anew meanwhile, and synced
			err = j.broken
		case err != nil: // a file that failed once may have lost pages
			j.broken = fmt.Errorf("sync the journal: %w", err)
			err = j.broken
		}
		for _, w := range group {
			w <- err
		}
	}
	j.syncing = false
}

func (j *Journal) liveSize() int64 {
	n := int64(0)
	for _, payload := range j.live {
		n += int64(headerSize + len(payload))
	}
	return n
}

func encode(kind byte, id uuid.UUID, payload []byte) []byte {
	b := make([]byte, headerSize, headerSize+len(payload))
	copy(b, magic)
	b[4] = kind
	binary.BigEndian.PutUint32(b[5:], uint32(len(payload)))
	copy(b[13:], id[:])
	b = append(b, payload...)
	binary.BigEndian.PutUint32(b[9:], checksum(b))
	return b
}

const magic = "OLJ1"

// checksum covers all of a record but itself.
func checksum(b []byte) uint32 {
	return crc32.Update(crc32.ChecksumIEEE(b[:9]), crc32.IEEETable, b[13:])
}
