package tables

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"outlink/domain"
	"outlink/projections"
)

// Query runs a question and hands its rows to each, one by one. Arguments are
// uuid.UUID, time.Time, []byte, string, int and int64.
type Query func(ctx context.Context, sql string, args []any, each func(scan func(dest ...any) error) error) error

// Reader answers [projections.Reader] and [projections.Scanner] by SQL.
type Reader struct {
	query Query

	pinned map[string]int // generations that are asked instead of the active ones

	mu       sync.Mutex
	active   map[string]int // projection to its active generation
	resolved time.Time
}

// NewReader returns a Reader that asks through q.
func NewReader(q Query) *Reader { return &Reader{query: q} }

var (
	_ projections.Reader  = (*Reader)(nil)
	_ projections.Scanner = (*Reader)(nil)
)

// At returns a Reader of a certain generation of a projection.
func (r *Reader) At(ctx context.Context, projection string, generation int) (projections.Reader, error) {
	if _, err := r.Position(ctx, projection, generation); err != nil {
		return nil, err
	}
	return &Reader{query: r.query, pinned: map[string]int{projection: generation}}, nil
}

// pointerAge is how old the answer to "which generation is active" may be; a
// generation out of use is therefore kept a while before it is dropped.
const pointerAge = time.Second

// In writes a generation into the table names of a statement: links_gN becomes
// links_g1.
func In(generation int, sql string) string {
	return strings.ReplaceAll(sql, "_gN", "_g"+strconv.Itoa(generation))
}

// in is In for the active generation of a projection.
func (r *Reader) in(ctx context.Context, projection, sql string) (string, error) {
	if generation, ok := r.pinned[projection]; ok {
		return In(generation, sql), nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.resolved) > pointerAge {
		positions, err := r.Positions(ctx)
		if err != nil {
			return "", err
		}
		r.active, r.resolved = map[string]int{}, time.Now()
		for _, p := range positions {
			r.active[p.Projection] = p.Generation
		}
	}
	generation, ok := r.active[projection]
	if !ok {
		r.resolved = time.Time{}
		return "", domain.Errorf(domain.Unavailable, "the read model %q has not been created; run: outlink migrate", projection)
	}
	return In(generation, sql), nil
}

// Docs runs a question whose rows are one JSON document each.
func Docs[Row any](ctx context.Context, q Query, sql string, args ...any) ([]Row, error) {
	var rows []Row
	err := q(ctx, sql, args, func(scan func(...any) error) error {
		var doc []byte
		if err := scan(&doc); err != nil {
			return err
		}
		var row Row
		err := decode(doc, &row)
		rows = append(rows, row)
		return err
	})
	return rows, err
}

// LinkDocs runs a question whose rows are a link's next expiry and its document.
func LinkDocs(ctx context.Context, q Query, sql string, args ...any) ([]projections.LinkRow, error) {
	var rows []projections.LinkRow
	err := q(ctx, sql, args, func(scan func(...any) error) error {
		var row projections.LinkRow
		var next instant
		err := scanned(scan, &row, &next)
		row.NextExpiry = time.Time(next)
		rows = append(rows, row)
		return err
	})
	return rows, err
}

// LinkQuestion is one for LinkDocs, to be followed by its conditions.
const LinkQuestion = `SELECT (` + itsExpiry + `) AS next_expiry, doc FROM links_gN l WHERE `

// What is asked of one table for a row l of the other. As a join, it would be the
// planner's choice where to begin.
const (
	itsExpiry   = `SELECT next_expiry FROM link_expiries_gN e WHERE e.link_id = l.link_id`
	itsDocument = `SELECT doc FROM links_gN d WHERE d.link_id = l.link_id`
)

// Answers is [Docs] or [LinkDocs].
type Answers[Row any] func(ctx context.Context, q Query, sql string, args ...any) ([]Row, error)

// ask runs a question about links or grants of the active generation.
func ask[Row any](ctx context.Context, r *Reader, docs Answers[Row], sql string, args ...any) ([]Row, error) {
	sql, err := r.in(ctx, projections.Links.Name, sql)
	if err != nil {
		return nil, err
	}
	rows, err := docs(ctx, r.query, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("read links: %w", err)
	}
	return rows, nil
}

// one is the only row of an answer.
func one[Row any](rows []Row, err error, what string, id uuid.UUID) (Row, error) {
	var none Row
	switch {
	case err != nil:
		return none, err
	case len(rows) == 0:
		return none, domain.Errorf(domain.NotFound, "%s %s is not in the read model; it does not exist, or not yet", what, id)
	}
	return rows[0], nil
}

// Link returns a link, also a deleted one.
func (r *Reader) Link(ctx context.Context, id uuid.UUID) (projections.LinkRow, error) {
	rows, err := ask(ctx, r, LinkDocs, LinkQuestion+`link_id = $1 AND status <> ''`, id)
	return one(rows, err, "link", id)
}

// Grant returns a grant, also a revoked one.
func (r *Reader) Grant(ctx context.Context, id uuid.UUID) (projections.GrantRow, error) {
	rows, err := ask(ctx, r, Docs[projections.GrantRow], `SELECT doc FROM grants_gN WHERE grant_id = $1`, id)
	return one(rows, err, "grant", id)
}

// Links lists links.
func (r *Reader) Links(ctx context.Context, f projections.LinkFilter) ([]projections.LinkRow, string, error) {
	limit, errLimit := pageSize(f.Limit, projections.MaxPage)
	after, errCursor := parseCursor(f.After, linkOrder(f))
	if err := errors.Join(errLimit, errCursor, known("status", f.Status, linkStatuses), known("health", f.Health, healths)); err != nil {
		return nil, "", err
	}
	q := linksQuestion(f, after, limit+1)
	if byExpiry(f) && f.Text != "" {
		few, err := r.fewNamed(ctx, f)
		if err != nil {
			return nil, "", err
		}
		if few {
			q = expiringNamed(f, after, limit+1)
		}
	}
	rows, err := ask(ctx, r, LinkDocs, q.sql, q.args...)
	if err != nil {
		return nil, "", err
	}
	rows, next := cut(rows, limit, func(row projections.LinkRow) cursor {
		switch linkOrder(f) {
		case times:
			return cursor{Sequence: uint64(row.NextExpiry.UnixMicro()), ID: row.Link}
		case words:
			return cursor{Key: string(projections.NameKey(row.State.Name)), ID: row.Link}
		}
		return cursor{Sequence: row.Changed}
	})
	return rows, next, nil
}

// fewNamed reports whether only a few links' names begin as the filter says.
func (r *Reader) fewNamed(ctx context.Context, f projections.LinkFilter) (bool, error) {
	q := namedQuestion(f)
	sql, err := r.in(ctx, "links", q.sql)
	if err != nil {
		return false, err
	}
	var n int64
	err = r.query(ctx, sql, q.args, func(scan func(...any) error) error { return scan(&n) })
	if err != nil {
		return false, fmt.Errorf("count links by name: %w", err)
	}
	return n < fewNames, nil
}

// LinkCounts counts links; see [projections.Reader].
func (r *Reader) LinkCounts(ctx context.Context) ([]projections.LinkCount, error) {
	sql, err := r.in(ctx, "links", `SELECT `+countColumns+` FROM link_counts_gN WHERE links > 0 ORDER BY provider, status, health`)
	if err != nil {
		return nil, err
	}
	return r.counts(ctx, sql)
}

const countColumns = `provider, status, health, links, healthy, retrying, attention`

func (r *Reader) counts(ctx context.Context, sql string) ([]projections.LinkCount, error) {
	var all []projections.LinkCount
	err := r.query(ctx, sql, nil, func(scan func(...any) error) error {
		var c projections.LinkCount
		err := scan(&c.Provider, &c.Status, &c.Health, &c.Links, &c.Healthy, &c.Retrying, &c.Attention)
		all = append(all, c)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("count links: %w", err)
	}
	return all, nil
}

// Grants lists a link's grants.
func (r *Reader) Grants(ctx context.Context, f projections.GrantFilter) ([]projections.GrantRow, string, error) {
	limit, errLimit := pageSize(f.Limit, projections.MaxPage)
	after, errCursor := parseCursor(f.After, words)
	if err := errors.Join(errLimit, errCursor, known("status", f.Status, grantStatuses), linkGiven(f.Link)); err != nil {
		return nil, "", err
	}
	q := grantsQuestion(f, after, limit+1, time.Now())
	rows, err := ask(ctx, r, Docs[projections.GrantRow], q.sql, q.args...)
	if err != nil {
		return nil, "", err
	}
	rows, next := cut(rows, limit, func(row projections.GrantRow) cursor {
		return cursor{Key: row.State.Subject, ID: row.Grant}
	})
	return rows, next, nil
}

// Activity lists the events of a link or grant, newest first.
func (r *Reader) Activity(ctx context.Context, f projections.ActivityFilter) ([]domain.Record, error) {
	limit, errLimit := pageSize(f.Limit, projections.MaxPage)
	if err := errors.Join(errLimit, linkGiven(f.Link)); err != nil {
		return nil, err
	}
	q := activityQuestion(f, limit)
	sql, err := r.in(ctx, "activity", q.sql)
	if err != nil {
		return nil, err
	}
	var all []domain.Record
	err = events(ctx, r.query, sql, q.args, func(e domain.Record) error {
		all = append(all, e)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read activity: %w", err)
	}
	return all, nil
}

// Due lists grants that somebody must look at.
func (r *Reader) Due(ctx context.Context, f projections.DueFilter) ([]projections.GrantRow, string, error) {
	limit, errLimit := pageSize(f.Limit, maxDue)
	after, errCursor := parseCursor(f.After, times)
	if err := errors.Join(errLimit, errCursor); err != nil {
		return nil, "", err
	}
	q := dueQuestion(f.Before, after, limit+1)
	rows, err := ask(ctx, r, Docs[projections.GrantRow], q.sql, q.args...)
	if err != nil {
		return nil, "", err
	}
	rows, next := cut(rows, limit, func(row projections.GrantRow) cursor {
		return cursor{Sequence: uint64(row.State.DueAt().UnixMicro()), ID: row.Grant}
	})
	return rows, next, nil
}

func known[Value ~string](what string, v Value, all []Value) error {
	if v == "" || slices.Contains(all, v) {
		return nil
	}
	return domain.Errorf(domain.InvalidArgument, "%s %q is none of %v", what, v, all)
}

func linkGiven(id uuid.UUID) error {
	if id == uuid.Nil {
		return domain.Errorf(domain.InvalidArgument, "a link is required: name the one to list")
	}
	return nil
}
