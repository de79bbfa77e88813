package bench

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go/jetstream"

	"outlink/domain"
	"outlink/domain/link"
	"outlink/internal/readmodel"
	"outlink/internal/testenv/database"
	"outlink/projections"
	"outlink/projections/cockroach"
	"outlink/projections/sqlite"
)

// What the measurements of the read model replay.
var (
	someLinks  = flag.Int("links", 2_000, "links in the log; each has twenty grants")
	someEvents = flag.Int("events", 200_000, "events in the log")
)

var errEnough = errors.New("enough")

func perSecond(b *testing.B, name string, events int, took time.Duration) {
	b.ReportMetric(float64(events)/took.Seconds(), name)
	b.ReportMetric(0, "ns/op")
}

// BenchmarkReplay reads the log: with nothing but nats.go, and into a projection
// that does nothing.
func BenchmarkReplay(b *testing.B) {
	h := newHistory(b, *someLinks, *someEvents)
	b.Run("bare consumer", func(b *testing.B) {
		took := time.Duration(0)
		for b.Loop() {
			took += h.consume(b)
		}
		perSecond(b, "events/s", h.events*b.N, took)
	})
	b.Run("null projection", func(b *testing.B) {
		took := time.Duration(0)
		for b.Loop() {
			began := time.Now()
			err := h.feed.Follow(b.Context(), 0, func(_ context.Context, batch []domain.Record) error {
				if batch[len(batch)-1].Sequence >= h.last {
					return errEnough
				}
				return nil
			})
			if !errors.Is(err, errEnough) {
				b.Fatal(err)
			}
			took += time.Since(began)
		}
		perSecond(b, "events/s", h.events*b.N, took)
	})
}

// consume reads the log with nothing but nats.go, without acknowledgements: the
// fastest way (measured).
func (h history) consume(b *testing.B) time.Duration {
	b.Helper()
	began := time.Now()
	consumer, err := h.js.CreateConsumer(b.Context(), h.feed.Namespace.Events(), jetstream.ConsumerConfig{
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, InactiveThreshold: time.Minute,
	})
	if err != nil {
		b.Fatal(err)
	}
	var n atomic.Int64
	done := make(chan struct{})
	c, err := consumer.Consume(func(jetstream.Msg) {
		if n.Add(1) == int64(h.events) {
			close(done)
		}
	}, jetstream.PullMaxMessages(2000))
	if err != nil {
		b.Fatal(err)
	}
	defer c.Stop()
	<-done
	return time.Since(began)
}

// BenchmarkLive is all projections at once, from an empty store to the head of the
// log by the way that live events take. There are three limits: the same events, folded
// and stored in the same batches from memory, without a log to read; the
// batches alone, folded before: what the statements take; and on PostgreSQL the strategy
// of [staged], from memory.
func BenchmarkLive(b *testing.B) {
	h := newHistory(b, *someLinks, *someEvents)
	for name, open := range stores() {
		b.Run(name, func(b *testing.B) {
			var took, unread, least, merged time.Duration
			var cpu work
			for b.Loop() {
				began, before := time.Now(), worked(b)
				live(b, h.feed, h.last, open(b))
				took += time.Since(began)
				spent := worked(b).since(before)
				unread += liveFromMemory(b, h, open(b))
				cpu.client, cpu.server = cpu.client+spent.client, cpu.server+spent.server
				s := &recording{store: open(b)} // once more, for what is kept would be in the garbage collector's way
				live(b, h.feed, h.last, s)
				least += storeAll(b, open(b), s.batches)
				if name == postgres {
					url := database.New(b)
					s := opened(b, url)
					merged += staged(b, h.read(b), url)
					verify(b, h, s, projections.FirstGeneration, projections.FirstGeneration)
				}
			}
			perSecond(b, "events/s", h.events*b.N, took)
			perSecond(b, "memory-events/s", h.events*b.N, unread)
			perSecond(b, "folded-events/s", h.events*b.N, least)
			cpu.report(b, h.events*b.N)
			b.ReportMetric(unread.Seconds()/took.Seconds(), "of-memory")
			b.ReportMetric(least.Seconds()/took.Seconds(), "of-folded")
			if merged > 0 {
				perSecond(b, "staged-events/s", h.events*b.N, merged)
				b.ReportMetric(merged.Seconds()/took.Seconds(), "of-staged")
			}
		})
	}
}

// recording keeps the batches that are stored.
type recording struct {
	store
	mu      sync.Mutex
	batches []projections.Batch
}

func (r *recording) Apply(ctx context.Context, batch projections.Batch) error {
	r.mu.Lock()
	r.batches = append(r.batches, batch)
	r.mu.Unlock()
	return r.store.Apply(ctx, batch)
}

// storeAll stores batches, those of each projection in their order.
func storeAll(b *testing.B, s store, batches []projections.Batch) time.Duration {
	var all sync.WaitGroup
	began := time.Now()
	for _, p := range projections.All() {
		all.Go(func() {
			for _, batch := range batches {
				if batch.Projection != p.Name {
					continue
				}
				if err := s.Apply(b.Context(), batch); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	return time.Since(began)
}

type store interface {
	readmodel.Store
	projections.Reader
	Migrate(ctx context.Context) error
	Close() error
}

const postgres = "PostgreSQL"

func stores() map[string]func(testing.TB) store {
	return map[string]func(testing.TB) store{
		postgres: func(t testing.TB) store { return opened(t, database.New(t)) },
		"SQLite": func(t testing.TB) store {
			s, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "read.db"))
			return migrated(t, s, err)
		},
	}
}

func opened(t testing.TB, url string) store {
	s, err := cockroach.Open(t.Context(), url)
	return migrated(t, s, err)
}

func migrated(t testing.TB, s store, err error) store {
	t.Helper()
	if err == nil {
		err = s.Migrate(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// inMemory is a log that was read before.
type inMemory []domain.Record

func (m inMemory) Follow(ctx context.Context, after uint64, handle func(context.Context, []domain.Record) error) error {
	at, _ := slices.BinarySearchFunc(m, after+1, func(r domain.Record, sequence uint64) int { return cmp.Compare(r.Sequence, sequence) })
	for batch := range slices.Chunk(m[at:], 2000) {
		if err := handle(ctx, slices.Clone(batch)); err != nil { // it is decoded there
			return err
		}
	}
	<-ctx.Done()
	return ctx.Err()
}

// read is the whole log.
func (h history) read(b *testing.B) inMemory {
	all := make(inMemory, 0, h.events)
	err := h.feed.Follow(b.Context(), 0, func(_ context.Context, batch []domain.Record) error {
		if all = append(all, batch...); batch[len(batch)-1].Sequence >= h.last {
			return errEnough
		}
		return nil
	})
	if !errors.Is(err, errEnough) {
		b.Fatal(err)
	}
	return all
}

// liveFromMemory is live without a log to read. What was read is garbage then.
func liveFromMemory(b *testing.B, h history, s store) time.Duration {
	b.Helper()
	all := h.read(b)
	began := time.Now()
	live(b, all, h.last, s)
	return time.Since(began)
}

// live follows a log as a node does, up to a sequence.
func live(b *testing.B, feed projections.Feed, last uint64, s store) {
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	shared := projections.Share(feed)
	var all sync.WaitGroup
	for _, p := range projections.All() {
		e := projections.Engine{Projection: p, Feed: shared, Store: s, Log: slog.New(slog.DiscardHandler)}
		all.Go(func() {
			if err := e.Run(ctx); err != nil {
				b.Error(err)
			}
		})
	}
	for {
		positions, err := s.Positions(ctx)
		if err != nil || b.Failed() {
			b.Fatal("a projection does not get on: ", err)
		}
		behind := false
		for _, p := range positions {
			behind = behind || p.Sequence < last
		}
		if !behind {
			break
		}
		time.Sleep(5 * time.Millisecond) // the engines work
	}
	cancel()
	all.Wait()
}

// BenchmarkRebuild fills new generations of all projections, indexes them, and
// then verifies them; and it copies the same rows raw into tables like them, with
// the same indexes: once alone, and once while a bare consumer reads the log, which is
// the most that a rebuild by any program could reach on the machine.
func BenchmarkRebuild(b *testing.B) {
	h := newHistory(b, *someLinks, *someEvents)
	var rebuilt, verified, raw, both time.Duration
	var cpu work
	var most uint64
	for b.Loop() {
		url := database.New(b)
		s := opened(b, url)
		live(b, h.feed, h.last, s)
		runtime.GC()
		peak := watchMemory()
		began, before := time.Now(), worked(b)
		built := rebuild(b, h, s)
		rebuilt += time.Since(began)
		spent := worked(b).since(before)
		cpu.client, cpu.server = cpu.client+spent.client, cpu.server+spent.server
		began = time.Now()
		verify(b, h, s, built[0].Generation, built[1].Generation)
		verified += time.Since(began)
		most = max(most, peak())
		rows := rebuiltRows(b, url)
		raw += rawCopy(b, url, "raw", rows)
		read := make(chan time.Duration, 1)
		go func() { read <- h.consume(b) }()
		beside := rawCopy(b, url, "beside", rows)
		both += max(beside, <-read)
	}
	b.ReportMetric(float64(most)/(1<<20), "MiB")
	cpu.report(b, h.events*b.N)
	perSecond(b, "events/s", h.events*b.N, rebuilt)
	perSecond(b, "verified-events/s", h.events*b.N, verified)
	perSecond(b, "raw-events/s", h.events*b.N, raw)
	b.ReportMetric(raw.Seconds()/rebuilt.Seconds(), "of-raw")
	b.ReportMetric(raw.Seconds()/both.Seconds(), "most-of-raw")
}

// rebuild fills new generations of all projections, which read the log together.
func rebuild(b *testing.B, h history, s store) []projections.Generation {
	b.Helper()
	feed, built := projections.Share(h.feed), make([]projections.Generation, len(projections.All()))
	for i, p := range projections.All() {
		var err error
		if built[i], err = s.Begin(b.Context(), projections.Generation{Position: projections.Position{Projection: p.Name}, Target: h.last, Passes: 1}); err != nil {
			b.Fatal(err)
		}
	}
	var all sync.WaitGroup
	for i, p := range projections.All() {
		all.Go(func() {
			if err := (projections.Build{Projection: p, Feed: feed, Store: s}).Run(b.Context(), built[i]); err != nil {
				b.Error(err)
			}
		})
	}
	all.Wait()
	return built
}

// verify compares a generation of each projection with the log.
func verify(b *testing.B, h history, s store, generations ...int) {
	b.Helper()
	k := readmodel.Keeper{Feed: h.feed, Store: s, Log: slog.New(slog.DiscardHandler)}
	for i, p := range projections.All() {
		if differs, _, err := k.Verify(b.Context(), p, generations[i], func(projections.Difference) {}); err != nil || differs > 0 {
			b.Fatal(p.Name, differs, err)
		}
	}
}

// watchMemory samples the heap until it is asked for the highest value.
func watchMemory() func() uint64 {
	stop, most := make(chan struct{}), make(chan uint64)
	go func() {
		var high uint64
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			high = max(high, m.HeapInuse)
			select {
			case <-stop:
				most <- high
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
	}()
	return func() uint64 { close(stop); return <-most }
}

// copied are the rows of a table, in memory.
type copied struct {
	table   string
	columns []string
	rows    [][]any
}

// rebuiltRows are those of the second generations.
func rebuiltRows(b *testing.B, url string) (all []copied) {
	b.Helper()
	conn, err := pgx.Connect(b.Context(), url)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = conn.Close(b.Context()) }()
	for _, table := range []string{"links", "link_expiries", "grants", "activity"} {
		rows, err := conn.Query(b.Context(), fmt.Sprintf(`SELECT * FROM %s_g2`, table))
		if err != nil {
			b.Fatal(err)
		}
		c := copied{table: table}
		for _, f := range rows.FieldDescriptions() {
			c.columns = append(c.columns, f.Name)
		}
		for rows.Next() {
			values, err := rows.Values()
			if err != nil {
				b.Fatal(err)
			}
			c.rows = append(c.rows, values)
		}
		if rows.Err() != nil {
			b.Fatal(rows.Err())
		}
		all = append(all, c)
	}
	return all
}

// rawCopy copies rows into indexed tables like those that they are of.
func rawCopy(b *testing.B, url, prefix string, all []copied) time.Duration {
	b.Helper()
	conn, err := pgx.Connect(b.Context(), url)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = conn.Close(b.Context()) }()
	for _, c := range all {
		if _, err := conn.Exec(b.Context(), fmt.Sprintf(`CREATE TABLE %[1]s_%[2]s (LIKE %[2]s_g2 INCLUDING ALL)`, prefix, c.table)); err != nil {
			b.Fatal(err)
		}
	}
	began := time.Now()
	for _, c := range all {
		if _, err := conn.CopyFrom(b.Context(), pgx.Identifier{prefix + "_" + c.table}, c.columns, pgx.CopyFromRows(c.rows)); err != nil {
			b.Fatal(err)
		}
	}
	return time.Since(began)
}

// BenchmarkList is a page of fifty of a million links, by every filter there is,
// from anywhere in the list.
func BenchmarkList(b *testing.B) {
	const links = 1_000_000
	for name, open := range stores() {
		b.Run(name, func(b *testing.B) {
			s := open(b)
			fillLinks(b, s, links)
			r := rand.New(rand.NewPCG(5, 6))
			for filter, f := range map[string]projections.LinkFilter{
				"newest": {}, "provider": {Provider: "google"}, "status": {Status: link.StatusDegraded},
				"health": {Health: projections.HealthAttention}, "provider and status": {Provider: "custom", Status: link.StatusActive},
				"name": {Text: "link 77"}, "expiring": {Expiring: filledAt.Add(6 * time.Hour)},
				"name and provider": {Text: "link", Provider: "google"}, "name and no such provider": {Text: "link", Provider: "okta"},
				"expiring and provider":         {Expiring: filledAt.Add(6 * time.Hour), Provider: "google"},
				"expiring and no such provider": {Expiring: filledAt.Add(6 * time.Hour), Provider: "okta"},
				"expiring and name":             {Expiring: filledAt.Add(6 * time.Hour), Text: "link 7777"},
			} {
				b.Run(filter, func(b *testing.B) {
					var all times
					f := f
					for b.Loop() {
						all.measure(func() {
							rows, next, err := s.Links(b.Context(), f)
							if err != nil || len(rows) == 0 && f.Provider != "okta" {
								b.Fatal(len(rows), err)
							}
							if f.After = next; r.IntN(500) == 0 { // some pages are deep in the list
								f.After = ""
							}
						})
					}
					all.report(b)
				})
			}
		})
	}
}

var filledAt = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// fillLinks loads links of all kinds into the active generation, as a rebuild
// does.
func fillLinks(b *testing.B, s store, links int) {
	b.Helper()
	g, err := s.Begin(b.Context(), projections.Generation{Position: projections.Position{Projection: "links"}, Target: uint64(links), Passes: 1})
	if err != nil {
		b.Fatal(err)
	}
	r := rand.New(rand.NewPCG(3, 4))
	for from := 0; from < links; from += 5000 {
		batch := projections.Batch{Projection: "links", Generation: g.Generation}
		for i := from; i < from+5000; i++ {
			row := projections.LinkRow{
				Link: uuid.New(), Sequence: uint64(i + 1), Changed: uint64(i + 1), UpdatedAt: filledAt, NextExpiry: filledAt.Add(time.Duration(r.IntN(24*3600)) * time.Second),
				State: link.State{Created: true, Config: link.Config{Name: fmt.Sprintf("link %d", r.IntN(links)), Provider: []string{"google", "microsoft", "custom"}[i%3], Scopes: []string{"a"}}},
			}
			if row.Grants.Total, row.Grants.Healthy = 1, 1; r.IntN(100) == 0 {
				row.Grants.Attention = 1
			}
			if r.IntN(50) == 0 {
				row.State.Trouble = link.ClientRejected
			}
			batch.Links, batch.Expiries = append(batch.Links, row), append(batch.Expiries, row.Expiry())
		}
		if err := s.Load(b.Context(), batch, false); err != nil {
			b.Fatal(err)
		}
	}
	g.Passed = 1
	if err := errors.Join(s.Record(b.Context(), g), s.Finish(b.Context(), g), s.Switch(b.Context(), "links", g.Generation)); err != nil {
		b.Fatal(err)
	}
	time.Sleep(1100 * time.Millisecond) // readers remember the active generation for a second
	counts, err := s.LinkCounts(b.Context())
	total := int64(0)
	for _, c := range counts {
		total += c.Links
	}
	if err != nil || total != int64(links) {
		b.Fatalf("%d links are counted, error %v", total, err)
	}
}

// BenchmarkMemory rebuilds both projections from the log alone, and tells the
// highest heap: with -events it shows what a longer history takes.
func BenchmarkMemory(b *testing.B) {
	h := newHistory(b, *someLinks, *someEvents)
	s := opened(b, database.New(b))
	for b.Loop() {
		runtime.GC()
		peak := watchMemory()
		rebuild(b, h, s)
		b.ReportMetric(float64(peak())/(1<<20), "MiB")
	}
}
