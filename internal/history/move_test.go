package history_test

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/link"
	"outlink/domain/name"
	"outlink/internal/history"
	"outlink/internal/node"
	"outlink/internal/testenv"
)

// exported is a log of a name and two links, as a file.
func exported(t *testing.T) string {
	t.Helper()
	n := testenv.Node(t, testenv.NATS(t), t.TempDir(), "n")
	_, err := n.Commands.Names.Append(t.Context(), domain.Key{Link: uuid.New()}, commands.Loaded[name.State]{}, name.Reserved{Name: "a", Link: uuid.New()}, commands.Meta{CommandID: uuid.New(), Time: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	appended(t, n, created("a"), link.Disabled{Reason: "test"})
	appended(t, n, created("b"))
	var file bytes.Buffer
	if count, err := history.Export(t.Context(), n.Feed, nil, &file); err != nil || count != 4 {
		t.Fatalf("exported %d events, %v", count, err)
	}
	return file.String()
}

func imported(t *testing.T, n *node.Node, file string) (int, error) {
	t.Helper()
	return history.Import(t.Context(), n.Feed, func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(file)), nil })
}

// Of a bad file nothing is written, and an import goes on where it was
// interrupted, but not in a log of other events.
func TestImport(t *testing.T) {
	file := exported(t)
	lines := strings.SplitAfter(file, "\n")
	n := testenv.Node(t, testenv.NATS(t), t.TempDir(), "n")
	if count, err := imported(t, n, strings.Replace(file, `"name":"b"`, `"name":"forged"`, 1)); domain.CodeOf(err) != domain.InvalidArgument || count != 0 {
		t.Errorf("a bad last line: %d events, %v", count, err)
	}
	if _, err := imported(t, n, strings.Join(lines[1:], "")); err == nil || !strings.Contains(err.Error(), "--link") {
		t.Errorf("a file without names: %v", err)
	}
	if last, err := n.Feed.Head(t.Context()); err != nil || last != 0 {
		t.Fatalf("the log is at %d after two refused files, %v", last, err)
	}
	for i, part := range []struct {
		file string
		want int
	}{{strings.Join(lines[:2], ""), 2}, {file, 2}, {file, 0}} {
		if count, err := imported(t, n, part.file); err != nil || count != part.want {
			t.Fatalf("import %d: %d events, %v; want %d", i, count, err, part.want)
		}
	}
	if report, err := history.Verify(t.Context(), n.Feed, nil); err != nil || report.Events != 4 || len(report.Problems) > 0 {
		t.Errorf("%+v, %v", report, err)
	}
	if _, err := imported(t, n, exported(t)); domain.CodeOf(err) != domain.FailedPrecondition {
		t.Errorf("into a log of other events: %v", err)
	}
}

// An export has no foreign messages. Imported events have MACs of their new places,
// also those that follow a foreign message, which an interrupted import may meet.
func TestMoveAmongForeignMessages(t *testing.T) {
	from := testenv.NATS(t)
	n := testenv.Node(t, from, t.TempDir(), "n")
	key := appended(t, n, created("a"), link.Disabled{Reason: "test"})
	publish(t, from.URL(), forged(t, n, key, link.Enabled{}))
	publish(t, from.URL(), &nats.Msg{Subject: n.Namespace.LinkEvents(key.Link), Data: []byte("junk")})
	var file bytes.Buffer
	if count, err := history.Export(t.Context(), n.Feed, nil, &file); err != nil || count != 2 {
		t.Fatalf("exported %d events, %v", count, err)
	}
	lines := strings.SplitAfter(exported(t), "\n")
	n = testenv.Node(t, testenv.NATS(t), t.TempDir(), "n")
	if count, err := imported(t, n, strings.Join(lines, "")); err != nil || count != 4 {
		t.Fatalf("at once: %d events, %v", count, err)
	}
	if report, err := history.Verify(t.Context(), n.Feed, nil); err != nil || report.Events != 4 || len(report.Problems) > 0 {
		t.Errorf("at once: %+v, %v", report, err)
	}
	to := testenv.NATS(t)
	n = testenv.Node(t, to, t.TempDir(), "n")
	if count, err := imported(t, n, strings.Join(lines[:2], "")); err != nil || count != 2 {
		t.Fatalf("the first part: %d events, %v", count, err)
	}
	moved, err := n.Feed.Range(t.Context(), nil, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	publish(t, to.URL(), &nats.Msg{Subject: n.Namespace.LinkEvents(moved[0].Link), Data: []byte("junk")})
	if count, err := imported(t, n, strings.Join(lines, "")); err != nil || count != 2 {
		t.Fatalf("the rest: %d events, %v", count, err)
	}
	report, err := history.Verify(t.Context(), n.Feed, nil)
	if err != nil || report.Events != 4 || len(report.Problems) != 1 || report.Problems[0].Sequence != 3 {
		t.Errorf("%+v, %v", report, err)
	}
	at, err := n.Commands.Links.Load(t.Context(), domain.Key{Link: moved[0].Link})
	if err != nil || at.Version != 2 || !at.State.Paused {
		t.Errorf("loaded %+v, %v", at, err)
	}
}

// A state beside an event that its history does not make is found: commands
// decide on it, and the chain of hashes does not cover it.
func TestVerifyComparesStates(t *testing.T) {
	n := testenv.Node(t, testenv.NATS(t), t.TempDir(), "n")
	key := appended(t, n, created("a"))
	at, err := n.Commands.Links.Load(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	at.State.Name = "forged"
	if _, err := n.Commands.Links.Append(t.Context(), key, at, link.Disabled{Reason: "test"}, commands.Meta{CommandID: uuid.New(), Time: time.Now()}); err != nil {
		t.Fatal(err)
	}
	report, err := history.Verify(t.Context(), n.Feed, nil)
	if err != nil || len(report.Problems) != 1 || !strings.Contains(report.Problems[0].Problem, `name is "forged", and should be "a"`) {
		t.Errorf("%+v, %v", report, err)
	}
}
