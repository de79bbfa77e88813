package bench

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"

	"outlink/internal/natsd"
	"outlink/internal/testenv"
)

// BenchmarkCommand is CreateOutgoingLink as a request, against what it cannot do
// without: a bare request to a micro service, and a bare publish of as many bytes
// with an expectation to a stream like the log's. All are synced, and take turns
// in one run, because the machine is never the same twice.
func BenchmarkCommand(b *testing.B) {
	b.Run("1 client", oneClient)
	b.Run("64 clients", func(b *testing.B) { manyClients(b, 64) })
}

// maker is a node that takes commands, and the bare things beside it.
type maker struct {
	*testing.B
	server *natsd.Server
	event  []byte // as large as the event of a link that was created, its headers included
}

func newMaker(b *testing.B) maker {
	b.Helper()
	s := testenv.NATS(b)
	n := testenv.Node(b, s, b.TempDir(), "n", "commands")
	ctx, stop := context.WithCancel(context.Background())
	ended, ready := make(chan error, 1), make(chan struct{})
	go func() { ended <- n.Run(ctx, func() { close(ready) }) }()
	b.Cleanup(func() { stop(); <-ended })
	<-ready
	m := maker{B: b, server: s}
	c := m.asker()
	m.create(c)
	m.bare(c)
	return m
}

// asker is a client on a connection of its own.
type asker struct {
	nc *nats.Conn
	js jetstream.JetStream
}

func (m *maker) asker() asker {
	nc := dial(m.B, m.server.URL())
	js, err := jetstream.New(nc)
	if err != nil {
		m.Fatal(err)
	}
	return asker{nc, js}
}

// bare makes the stream and the service to compare with.
func (m *maker) bare(c asker) {
	log, err := c.js.Stream(m.Context(), "OUTLINK_EVENTS")
	if err != nil {
		m.Fatal(err)
	}
	last, err := log.GetLastMsgForSubject(m.Context(), "outlink.events.link.*")
	if err != nil {
		m.Fatal(err)
	}
	config := log.CachedInfo().Config
	config.Name, config.Subjects = "BARE", []string{"bare.>"}
	if _, err := c.js.CreateStream(m.Context(), config); err != nil {
		m.Fatal(err)
	}
	m.event = make([]byte, (&nats.Msg{Subject: last.Subject, Header: last.Header, Data: last.Data}).Size())
	echo, err := micro.AddService(c.nc, micro.Config{Name: "echo", Version: "1.0.0"})
	if err != nil {
		m.Fatal(err)
	}
	if err := echo.AddEndpoint("echo", micro.HandlerFunc(func(r micro.Request) { _ = r.Respond(r.Data()) })); err != nil {
		m.Fatal(err)
	}
}

// create makes a link of a name of its own.
func (m *maker) create(c asker) {
	body, err := json.Marshal(map[string]any{
		"command_id": uuid.New(), "name": uuid.NewString(), "provider": "custom", "client_id": "id", "client_secret": "secret",
		"scopes": []string{"a"}, "auth_style": "body",
		"authorization_endpoint": "http://127.0.0.1:1/authorize", "token_endpoint": "http://127.0.0.1:1/token",
	})
	if err != nil {
		m.Error(err)
	}
	reply, err := c.nc.Request("outlink.command.CreateOutgoingLink", body, 10*time.Second)
	if err == nil && reply.Header.Get(micro.ErrorCodeHeader) != "" {
		err = errors.New(string(reply.Data))
	}
	if err != nil {
		m.Error(err)
	}
}

// publish is a bare publish to a new subject.
func (m *maker) publish(c asker) {
	msg := &nats.Msg{Subject: "bare." + uuid.NewString(), Data: m.event}
	if _, err := c.js.PublishMsg(m.Context(), msg, jetstream.WithExpectLastSequencePerSubject(0)); err != nil {
		m.Error(err)
	}
}

func (m *maker) echo(c asker) {
	if _, err := c.nc.Request("echo", m.event[:300], 10*time.Second); err != nil {
		m.Error(err)
	}
}

// turn is how many of one kind follow each other. What a command leaves to do
// after its answer so burdens the next command, not the bare publish beside it.
const turn = 50

func oneClient(b *testing.B) {
	m := newMaker(b)
	c := m.asker()
	var command, publish, echo times
	for done := 0; done < b.N; done += turn {
		for range turn {
			command.measure(func() { m.create(c) })
		}
		for range turn {
			publish.measure(func() { m.publish(c) })
		}
		for range turn {
			echo.measure(func() { m.echo(c) })
		}
	}
	limit := publish.median() + echo.median()
	command.report(b)
	b.ReportMetric(float64(publish.median().Microseconds()), "publish-p50-µs")
	b.ReportMetric(float64(echo.median().Microseconds()), "echo-p50-µs")
	b.ReportMetric(float64(command.median())/float64(limit), "×")
	b.ReportMetric(0, "ns/op")
}

// manyClients compares rates: how many links are made a second, and how many bare
// messages are published, by as many clients on a connection each.
func manyClients(b *testing.B, clients int) {
	m := newMaker(b)
	all := make([]asker, clients)
	for i := range all {
		all[i] = m.asker()
	}
	var created, published time.Duration
	done := 0
	for done < b.N {
		created += each(all, m.create)
		published += each(all, m.publish)
		done += clients * perTurn
	}
	b.ReportMetric(float64(done)/created.Seconds(), "commands/s")
	b.ReportMetric(float64(done)/published.Seconds(), "publishes/s")
	b.ReportMetric(published.Seconds()/created.Seconds(), "×")
	b.ReportMetric(0, "ns/op")
}

// perTurn is how often each of many clients asks before it is the others' turn.
const perTurn = 10

// each has every client do it a few times, and tells how long that takes for all.
func each(all []asker, do func(asker)) time.Duration {
	began := time.Now()
	var wg sync.WaitGroup
	for _, a := range all {
		wg.Go(func() {
			for range perTurn {
				do(a)
			}
		})
	}
	wg.Wait()
	return time.Since(began)
}
