package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go/jetstream"

	"outlink/domain"
	"outlink/internal/readmodel"
	"outlink/internal/testenv/database"
	"outlink/projections"
	"outlink/projections/cockroach"
	"outlink/projections/sqlite"
)

// What the measurements of the read model replay.
const (
	someLinks  = 200
	someEvents = 20_000
)

var errEnough = errors.New("enough")

func perSecond(b *testing.B, name string, events int, took time.Duration) {
	b.ReportMetric(float64(events)/took.Seconds(), name)
	b.ReportMetric(0, "ns/op")
}

// BenchmarkReplay reads the log: with nothing but nats.go, and into a projection
// that does nothing.
func BenchmarkReplay(b *testing.B) {
	h := newHistory(b, someLinks, someEvents)
	b.Run("bare consumer", func(b *testing.B) {
		for b.Loop() {
			began := time.Now()
			consumer, err := h.js.OrderedConsumer(b.Context(), h.feed.Namespace.Events(), jetstream.OrderedConsumerConfig{
				FilterSubjects: []string{h.feed.Namespace.AllEvents()},
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
			})
			if err != nil {
				b.Fatal(err)
			}
			<-done
			perSecond(b, "events/s", h.events, time.Since(began))
			c.Stop()
		}
	})
	b.Run("null projection", func(b *testing.B) {
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
			perSecond(b, "events/s", h.events, time.Since(began))
		}
	})
}

// BenchmarkLive is all three projections at once, from an empty store to the
// head of the log by the way that live events take.
func BenchmarkLive(b *testing.B) {
	h := newHistory(b, someLinks, someEvents)
	for name, open := range stores() {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				s := open(b)
				began := time.Now()
				live(b, h, s)
				perSecond(b, "events/s", h.events, time.Since(began))
			}
		})
	}
}

type store interface {
	readmodel.Store
	projections.Reader
	Migrate(ctx context.Context) error
	Close() error
}

func stores() map[string]func(testing.TB) store {
	return map[string]func(testing.TB) store{
		"PostgreSQL": func(t testing.TB) store { return opened(t, database.New(t)) },
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

func live(b *testing.B, h history, s store) {
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	var all sync.WaitGroup
	for _, p := range projections.All() {
		e := projections.Engine{Projection: p, Feed: h.feed, Store: s, Log: slog.New(slog.DiscardHandler)}
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
			behind = behind || p.Sequence < h.last
		}
		if !behind {
			break
		}
		time.Sleep(5 * time.Millisecond) // the engines work
	}
	cancel()
	all.Wait()
}

// BenchmarkRebuild fills new generations of all projections, and copies the same
// rows raw into tables like them, with the same indexes.
func BenchmarkRebuild(b *testing.B) {
	h := newHistory(b, someLinks, someEvents)
	for b.Loop() {
		url := database.New(b)
		s := opened(b, url)
		k := readmodel.Keeper{Feed: h.feed, Store: s, Log: slog.New(slog.DiscardHandler)}
		live(b, h, s)
		runtime.GC()
		peak := watchMemory()
		began := time.Now()
		for _, p := range projections.All() {
			if _, err := k.Rebuild(b.Context(), readmodel.Request{Projection: p}, nil); err != nil {
				b.Fatal(err)
			}
		}
		rebuilt := time.Since(began)
		b.ReportMetric(float64(peak())/(1<<20), "MiB")
		raw := rawCopy(b, url)
		b.ReportMetric(float64(h.events)/rebuilt.Seconds(), "events/s")
		b.ReportMetric(float64(h.events)/raw.Seconds(), "raw-events/s")
		b.ReportMetric(raw.Seconds()/rebuilt.Seconds(), "of-raw")
		b.ReportMetric(0, "ns/op")
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

// rawCopy copies the rows of the second generations into the third ones, by COPY
// from memory into indexed tables.
func rawCopy(b *testing.B, url string) time.Duration {
	conn, err := pgx.Connect(b.Context(), url)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = conn.Close(b.Context()) }()
	took := time.Duration(0)
	for _, table := range []string{"links", "link_grants", "grants", "activity"} {
		rows, err := conn.Query(b.Context(), fmt.Sprintf(`SELECT * FROM %s_g2`, table))
		if err != nil {
			b.Fatal(err)
		}
		var all [][]any
		var columns []string
		for _, f := range rows.FieldDescriptions() {
			columns = append(columns, f.Name)
		}
		for rows.Next() {
			values, err := rows.Values()
			if err != nil {
				b.Fatal(err)
			}
			all = append(all, values)
		}
		if rows.Err() != nil {
			b.Fatal(rows.Err())
		}
		if _, err := conn.Exec(b.Context(), fmt.Sprintf(`CREATE TABLE raw_%s (LIKE %s_g2 INCLUDING ALL)`, table, table)); err != nil {
			b.Fatal(err)
		}
		began := time.Now()
		if _, err := conn.CopyFrom(b.Context(), pgx.Identifier{"raw_" + table}, columns, pgx.CopyFromRows(all)); err != nil {
			b.Fatal(err)
		}
		took += time.Since(began)
	}
	return took
}
