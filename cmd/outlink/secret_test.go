package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What is no secret is said, and where it was read.
func TestSecretFile(t *testing.T) {
	dir := t.TempDir()
	for name, tt := range map[string]struct{ content, secret, says string }{
		"one line":         {"s3cret\r\n", "s3cret", ""},
		"empty":            {"\n", "", " is empty"},
		"two lines":        {"s3cret\nother\n", "", " has more than one line"},
		"a key":            {"-----BEGIN X-----\nAA\n-----END X-----\n", "-----BEGIN X-----\nAA\n-----END X-----", ""},
		"a token response": {"{\n}\n", "{\n}", ""},
	} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(tt.content), 0o600); err != nil {
			t.Fatal(err)
		}
		a := &app{in: strings.NewReader(tt.content)}
		for path, where := range map[string]string{file: file, "-": "standard input"} {
			got, err := a.secretFile(t.Context(), path)
			if tt.says == "" && (err != nil || got.Reveal() != tt.secret) {
				t.Errorf("%s from %s: %v", name, where, err)
			}
			if tt.says != "" && (err == nil || !strings.HasPrefix(err.Error(), where+tt.says) || strings.Contains(err.Error(), "s3cret")) {
				t.Errorf("%s from %s: %v, want %q", name, where, err, tt.says)
			}
		}
	}
}

// silent is an input from which nothing comes; reading it calls begun.
type silent struct{ begun func() }

func (s silent) Read([]byte) (int, error) {
	s.begun()
	time.Sleep(10 * time.Second) // longer than the test waits
	return 0, io.EOF
}

// Who waits for a secret can be interrupted.
func TestSecretInterrupted(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	var out, errOut bytes.Buffer
	began := time.Now()
	code := run(ctx, []string{"grant", "import", "demo"}, func(string) string { return "" }, silent{interrupt}, &out, &errOut)
	if code != 130 || time.Since(began) > 5*time.Second {
		t.Errorf("exit %d after %s: %s", code, time.Since(began), &errOut)
	}
}
