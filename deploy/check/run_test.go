package check

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
)

// TestInstallation runs what docker-compose.yml runs, in its order and with its
// settings, but for the addresses and directories, and SQLite for CockroachDB.
func TestInstallation(t *testing.T) {
	project, err := load(t.Context(), read(t, composeFile))
	if err != nil {
		t.Fatal(err)
	}
	i := installed{dir: t.TempDir(), nats: startNATS(t), http: freeAddress(t)}
	i.run(t, project.Services["migrate"])

	serve := i.command(t, project.Services["outlink"])
	log, err := os.Create(filepath.Join(i.dir, "serve.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	t.Cleanup(func() {
		if said, _ := os.ReadFile(log.Name()); t.Failed() {
			t.Logf("outlink serve said:\n%s", said)
		}
	})
	serve.Stderr = log
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- serve.Wait() }()

	i.healthy(t, project.Services["outlink"])
	i.run(t, project.Services["migrate"]) // an upgrade migrates beside the node
	if err := serve.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	select {
	case err := <-ended:
		if err != nil && serve.ProcessState.ExitCode() != 130 {
			t.Errorf("outlink serve: %v", err)
		}
	case <-time.After(time.Duration(*project.Services["outlink"].StopGracePeriod)):
		t.Error("outlink serve does not end within stop_grace_period")
	}
}

// installed is where an installation of the test's own lies.
type installed struct{ dir, nats, http string }

// env is a service's environment, moved here.
func (i installed) env(s types.ServiceConfig) (env []string) {
	for name, value := range s.Environment {
		v := *value
		switch name {
		case "OUTLINK_SERVER":
			v = i.nats
		case "OUTLINK_DATABASE":
			v = "sqlite:" + filepath.Join(i.dir, "outlink.db")
		case "OUTLINK_KEK_FILE", "OUTLINK_JOURNAL":
			v = filepath.Join(i.dir, v)
		case "OUTLINK_HTTP":
			v = i.http
		}
		env = append(env, name+"="+v)
	}
	return env
}

func (i installed) command(t *testing.T, s types.ServiceConfig, args ...string) *exec.Cmd {
	t.Helper()
	if len(args) == 0 {
		args = s.Command
	}
	c := exec.CommandContext(t.Context(), binary(t), args...)
	c.Dir, c.Env = i.dir, i.env(s)
	return c
}

func (i installed) run(t *testing.T, s types.ServiceConfig) {
	t.Helper()
	if out, err := i.command(t, s).CombinedOutput(); err != nil {
		t.Fatalf("outlink %s: %v\n%s", strings.Join(s.Command, " "), err, out)
	}
}

// healthy asks as the image's health check does, until the node is ready.
func (i installed) healthy(t *testing.T, s types.ServiceConfig) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		out, err := i.command(t, s, "healthcheck").CombinedOutput()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("outlink healthcheck: %v\n%s", err, out)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// freeAddress is one that nobody listens on now.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
