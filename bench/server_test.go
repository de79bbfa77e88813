package bench

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"outlink/internal/memory"
)

// serves names the directory of a NATS server that this process is to be.
const serves = "OUTLINK_BENCH_NATS"

// TestMain runs the benchmarks, or is the server of one that does: in a process of
// its own, where a server is, its memory and its work are not taken for those of
// what is measured.
func TestMain(m *testing.M) {
	memory.Use(os.Getenv) // as the program does, also with its embedded server
	dir := os.Getenv(serves)
	if dir == "" {
		os.Exit(m.Run())
	}
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: dir, NoLog: true, NoSigs: true})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	s.Start()
	if s.ReadyForConnections(10 * time.Second) {
		fmt.Fprintln(os.Stdout, s.ClientURL())
	}
	_, _ = io.Copy(io.Discard, os.Stdin) // until whoever started it ends
	s.Shutdown()
	s.WaitForShutdown()
}

// ownServer starts a NATS server that does not sync in a process of its own.
func ownServer(b testing.TB) (url string) {
	b.Helper()
	c := exec.Command(os.Args[0])
	c.Env, c.Stderr = append(os.Environ(), serves+"="+b.TempDir()), os.Stderr
	in, errIn := c.StdinPipe()
	out, errOut := c.StdoutPipe()
	if errIn != nil || errOut != nil {
		b.Fatal(errIn, errOut)
	}
	if err := c.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = in.Close(); _ = c.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal("NATS does not start: ", err)
	}
	return strings.TrimSpace(line)
}
