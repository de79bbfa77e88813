package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// terminal is a pair of a terminal and what a person sees and types.
func terminal(t *testing.T) (person, tty *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	t.Cleanup(func() { _ = person.Close() })
	number, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	if tty, err = os.OpenFile(fmt.Sprint("/dev/pts/", number), os.O_RDWR|syscall.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tty.Close() })
	return person, tty
}

// A person at a terminal is asked for a secret and does not see it; Ctrl-C ends that
// and leaves the terminal as it was.
func TestSecretTyped(t *testing.T) {
	for typed, want := range map[string]struct {
		code int
		says string
	}{
		"s3cret\n": {5, "no servers available"}, // which comes after the secret
		"s3c\x03":  {130, "interrupted"},
	} {
		person, tty := terminal(t)
		c := binaryContext(t.Context(), "grant", "import", "demo", "--server", "nats://127.0.0.1:1")
		c.Stdin, c.Stdout, c.Stderr = tty, tty, tty
		c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
		before, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		var seen printed
		go func() {
			b := make([]byte, 1024)
			for {
				n, err := person.Read(b)
				_, _ = seen.Write(b[:n])
				if err != nil {
					return
				}
			}
		}()
		unseen := func() bool {
			now, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
			return err == nil && now.Lflag&unix.ECHO == 0
		}
		for deadline := time.Now().Add(20 * time.Second); !unseen(); time.Sleep(10 * time.Millisecond) { // another process does it
			if time.Now().After(deadline) {
				t.Fatalf("typing is shown; so far: %s", &seen)
			}
		}
		if _, err := person.WriteString(typed); err != nil {
			t.Fatal(err)
		}
		_ = c.Wait()
		after, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
		if err != nil || *after != *before {
			t.Errorf("%q: the terminal is not as it was: %v", typed, err)
		}
		for deadline := time.Now().Add(5 * time.Second); !strings.Contains(seen.String(), want.says) && time.Now().Before(deadline); {
			time.Sleep(10 * time.Millisecond)
		}
		if out := seen.String(); c.ProcessState.ExitCode() != want.code || !strings.Contains(out, "not shown") || !strings.Contains(out, want.says) || strings.Contains(out, "s3c") {
			t.Errorf("%q: exit %d, want %d with %q:\n%s", typed, c.ProcessState.ExitCode(), want.code, want.says, out)
		}
	}
}
