package check

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

func TestBuildContext(t *testing.T) {
	holds(t, contextProblems(t, read(t, ".dockerignore")))
}

func TestBuildContextBroken(t *testing.T) {
	breaks(t, read(t, ".dockerignore"), []change{
		{"sources", ".git\n", ".git\ndomain\n", "domain/"},
		{"embedded files", ".git\n", ".git\n**/*.yaml\n", "catalogue"},
		{"sums", ".git\n", ".git\ngo.sum\n", "go.sum"},
		{"the repository's history is sent", ".git\n", "", ".git is sent"},
	}, contextProblems)
}

// contextProblems says which files the build needs and .dockerignore keeps
// from it.
func contextProblems(t *testing.T, ignore string) (problems []error) {
	t.Helper()
	patterns, err := ignorefile.ReadAll(strings.NewReader(ignore))
	if err != nil {
		return []error{err}
	}
	matcher, err := patternmatcher.New(patterns)
	if err != nil {
		return []error{err}
	}
	ignored := func(name string) bool {
		is, err := matcher.MatchesOrParentMatches(name)
		if err != nil {
			t.Fatal(err)
		}
		return is
	}
	for _, name := range sources(t) {
		if ignored(name) {
			problems = append(problems, fmt.Errorf(".dockerignore keeps %s from the build", name))
		}
	}
	if !ignored(".git/HEAD") {
		problems = append(problems, errors.New(".git is sent to the build"))
	}
	return problems
}

// sources are the files of the root module that the binary is built of,
// relative to the root.
func sources(t *testing.T) []string {
	t.Helper()
	top, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	files := []string{"go.mod", "go.sum"}
	d := json.NewDecoder(bufio.NewReader(bytes.NewReader(goCommand(t, "list", "-deps", "-json=Dir,Standard,GoFiles,EmbedFiles,Module", "./cmd/outlink"))))
	for {
		var p struct {
			Dir                 string
			GoFiles, EmbedFiles []string
			Module              *struct{ Main bool }
		}
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return files
		} else if err != nil {
			t.Fatal(err)
		}
		if p.Module == nil || !p.Module.Main {
			continue
		}
		for _, f := range append(p.GoFiles, p.EmbedFiles...) {
			name, err := filepath.Rel(top, filepath.Join(p.Dir, f))
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, filepath.ToSlash(name))
		}
	}
}
