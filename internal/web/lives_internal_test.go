package web

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"

	"outlink/domain/grant"
	"outlink/projections"
)

// oneGrant is a reader of the only grant of a link, and counts how often it is asked.
type oneGrant struct {
	projections.Reader
	row   projections.GrantRow
	asked int
}

func (o *oneGrant) Grants(context.Context, projections.GrantFilter) ([]projections.GrantRow, string, error) {
	o.asked++
	return []projections.GrantRow{o.row}, "", nil
}

// A page that stays open asks for the grant that ends first when the row changes,
// and when nothing but that end does.
func TestLives(t *testing.T) {
	noon := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	ends := func(at time.Time) grant.State { return grant.State{Credential: &grant.TokenIssued{ExpiresAt: at}} }
	row := projections.LinkRow{Link: uuid.New(), Sequence: 7, NextExpiry: noon}
	read := &oneGrant{row: projections.GrantRow{State: ends(noon)}}
	known := lives{}
	for _, step := range []struct {
		what  string
		do    func()
		asked int
	}{
		{"new", func() {}, 1},
		{"unchanged", func() {}, 1},
		{"renewed", func() { row.NextExpiry, read.row.State = noon.Add(time.Hour), ends(noon.Add(time.Hour)) }, 2},
		{"changed", func() { row.Sequence++ }, 3},
		{"without a token", func() { row.NextExpiry = time.Time{} }, 3},
	} {
		step.do()
		if err := known.learn(t.Context(), read, []projections.LinkRow{row}); err != nil {
			t.Fatal(err)
		}
		if read.asked != step.asked {
			t.Errorf("%s: it asked %d times, want %d", step.what, read.asked, step.asked)
		}
		if g := known[row.Link]; !row.NextExpiry.IsZero() && !g.expires.Equal(row.NextExpiry) {
			t.Errorf("%s: it knows the end %v, want %v", step.what, g.expires, row.NextExpiry)
		}
	}
}
