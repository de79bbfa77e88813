package journal

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"go.uber.org/goleak"
)

const size = 8 << 20

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, dir string) *Journal {
	t.Helper()
	j, err := Open(dir, size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j
}

func put(t *testing.T, j *Journal, payload string) uuid.UUID {
	t.Helper()
	id := uuid.New()
	if err := j.Put(id, []byte(payload)); err != nil {
		t.Fatal(err)
	}
	return id
}

// What was put and not dropped is there after the process has died, and the
// journal has its name still.
func TestRecordsSurvive(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	kept, dropped := put(t, j, "kept"), put(t, j, "dropped")
	j.Drop(dropped)
	if err := j.Put(kept, []byte("kept, newer")); err != nil {
		t.Fatal(err)
	}
	name := j.ID()
	_ = j.lock.Unlock() // as the death of the process does; nothing else is closed

	again := open(t, dir)
	all := again.All()
	if len(all) != 1 || string(all[kept]) != "kept, newer" || again.ID() != name {
		t.Errorf("after the restart %q of %s, want one record of %s", all, again.ID(), name)
	}
}

// A record that was cut, or whose bytes are wrong, costs no other one.
func TestDamage(t *testing.T) {
	for name, damage := range map[string]func(b []byte, at int){
		"cut":      func(b []byte, at int) { clear(b[at+headerSize+2 : at+headerSize+6]) },
		"bit":      func(b []byte, at int) { b[at+headerSize] ^= 1 },
		"length":   func(b []byte, at int) { b[at+5] = 0xff },
		"no magic": func(b []byte, at int) { b[at] = 0 },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			j := open(t, dir)
			first, second, third := put(t, j, "one one"), put(t, j, "two two"), put(t, j, "three three")
			_ = j.Close()
			path := filepath.Join(dir, "journal")
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			damage(b, bytes.Index(b, []byte("two two"))-headerSize)
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			again := open(t, dir)
			put(t, again, "four")
			_ = again.Close()
			all := open(t, dir).All()
			if _, ok := all[second]; ok || len(all) != 3 || string(all[first]) != "one one" || string(all[third]) != "three three" {
				t.Errorf("read %q", all)
			}
		})
	}
}

// A journal that has room goes on in its file, so that a node which was killed is
// back at once; one that is half full is written anew first.
func TestGoesOn(t *testing.T) {
	dir := t.TempDir()
	file := func() os.FileInfo {
		info, err := os.Stat(filepath.Join(dir, "journal"))
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	j := open(t, dir)
	put(t, j, "kept")
	before := file()
	_ = j.Close()
	j = open(t, dir)
	if !os.SameFile(before, file()) {
		t.Error("a file with room was written anew")
	}
	for j.end <= size/2 {
		j.Drop(put(t, j, string(make([]byte, MaxRecord))))
	}
	_ = j.Close()
	if all := open(t, dir).All(); len(all) != 1 || os.SameFile(before, file()) {
		t.Errorf("%d records; a file half full was not written anew", len(all))
	}
}

// Two processes never share a journal, and no other file is taken for one.
func TestRefusals(t *testing.T) {
	dir := t.TempDir()
	open(t, dir)
	if _, err := Open(dir, size); err == nil {
		t.Error("opened twice")
	}
	other := t.TempDir()
	if err := os.WriteFile(filepath.Join(other, "journal"), []byte("something else, and long enough to be a record"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(other, size); err == nil {
		t.Error("opened a file that is no journal")
	}
	if err := open(t, t.TempDir()).Put(uuid.New(), make([]byte, MaxRecord+1)); err == nil {
		t.Error("took a record that is too large")
	}
}

// The file is written anew when it is full, however often, and holds what is
// live. Its size never changes.
func TestWrittenAnew(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	kept := put(t, j, "kept")
	payload := make([]byte, MaxRecord/2)
	for range 200 { // 32 MB through a file of 8
		id := uuid.New()
		if err := j.Put(id, payload); err != nil {
			t.Fatal(err)
		}
		j.Drop(id)
	}
	info, err := os.Stat(filepath.Join(dir, "journal"))
	if err != nil || info.Size() != size {
		t.Errorf("the file has %d bytes (%v), want %d", info.Size(), err, size)
	}
	_ = j.Close()
	if all := open(t, dir).All(); len(all) != 1 || string(all[kept]) != "kept" {
		t.Errorf("%d records are live, want the one", len(all))
	}
}

// Room is promised before an answer can come: not more than there is, and none
// once the disk has failed.
func TestReserve(t *testing.T) {
	j := open(t, t.TempDir())
	var releases []func()
	for {
		release, err := j.Reserve()
		if err != nil {
			break
		}
		releases = append(releases, release)
	}
	if want := size / 2 / (headerSize + MaxRecord); len(releases) != want {
		t.Errorf("promised room for %d records, want %d", len(releases), want)
	}
	full := make([]byte, MaxRecord)
	for range releases {
		if err := j.Put(uuid.New(), full); err != nil {
			t.Fatalf("promised, and then: %v", err)
		}
	}
	for _, release := range releases {
		release()
	}
	if _, err := j.Reserve(); err == nil {
		t.Error("promised room that waiting records take")
	}
	for id := range j.All() {
		j.Drop(id)
	}
	if _, err := j.Reserve(); err != nil {
		t.Errorf("no room after all was dropped: %v", err)
	}
}

// full is a disk that takes no more.
type full struct {
	file
	writes, syncs atomic.Bool // fail
	count         atomic.Int64
}

func (f *full) WriteAt(b []byte, at int64) (int, error) {
	if f.writes.Load() {
		return 0, errors.New("no space left on device")
	}
	return f.file.WriteAt(b, at)
}

func (f *full) Sync() error {
	f.count.Add(1)
	if f.syncs.Load() {
		return errors.New("input/output error")
	}
	return f.file.Sync()
}

func TestDiskFails(t *testing.T) {
	for name, fail := range map[string]func(*full){
		"on write": func(f *full) { f.writes.Store(true) },
		"on sync":  func(f *full) { f.syncs.Store(true) },
	} {
		t.Run(name, func(t *testing.T) {
			j := open(t, t.TempDir())
			f := &full{file: j.f}
			j.f = f
			put(t, j, "before")
			fail(f)
			if err := j.Put(uuid.New(), []byte("x")); err == nil {
				t.Error("said that a record is safe that is not")
			}
			if _, err := j.Reserve(); err == nil {
				t.Error("promised room on a broken disk")
			}
		})
	}
}

// Writers that come together share an fsync, and each is safe when it is told so.
func TestGroupCommit(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	f := &full{file: j.f}
	j.f = f
	const writers, each = 64, 20
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				if err := j.Put(uuid.New(), fmt.Appendf(nil, "%d/%d", w, i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	_ = j.Close()
	if n := len(open(t, dir).All()); n != writers*each {
		t.Errorf("%d records are there, want %d", n, writers*each)
	}
	t.Logf("%d records by %d fsyncs", writers*each, f.count.Load())
	if f.count.Load() >= writers*each {
		t.Error("no two writers shared an fsync")
	}
}

func BenchmarkPut(b *testing.B) {
	j, err := Open(b.TempDir(), size)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = j.Close() }()
	payload := make([]byte, 3000)
	for b.Loop() {
		id := uuid.New()
		if err := j.Put(id, payload); err != nil {
			b.Fatal(err)
		}
		j.Drop(id)
	}
}
