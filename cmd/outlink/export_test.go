package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// An export that fails leaves the file as it was, and nothing beside it.
func TestExportFile(t *testing.T) {
	for _, name := range []string{"log.jsonl", "log.jsonl.zst"} {
		file := filepath.Join(t.TempDir(), name)
		content := ""
		for _, tt := range []struct {
			write string
			fails error
		}{{"half", io.ErrUnexpectedEOF}, {"first\n", nil}, {"half", io.ErrUnexpectedEOF}, {"second\n", nil}} {
			w, done, err := (&app{}).exportFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(w, tt.write); err != nil {
				t.Fatal(err)
			}
			if err := done(tt.fails); !errors.Is(err, tt.fails) {
				t.Errorf("%s: ended with %v, want %v", name, err, tt.fails)
			}
			if tt.fails == nil {
				content = tt.write
			}
			if got := exported(t, file); got != content {
				t.Errorf("%s: after %q there is %q, want %q", name, tt.write, got, content)
			}
		}
		if all, err := os.ReadDir(filepath.Dir(file)); err != nil || len(all) != 1 {
			t.Errorf("%s: left %v, %v", name, all, err)
		}
	}
}

// What is no file of its own is written to, and not replaced.
func TestExportThroughLink(t *testing.T) {
	dir := t.TempDir()
	link, file := filepath.Join(dir, "link"), filepath.Join(dir, "file")
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	if err := writeFile(link, []byte("all")); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode().Type() != os.ModeSymlink || exported(t, file) != "all" {
		t.Errorf("the link is %v, %v", info, err)
	}
}

// exported is what is in the file of an export, or nothing.
func exported(t *testing.T, file string) string {
	t.Helper()
	r, err := importFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
