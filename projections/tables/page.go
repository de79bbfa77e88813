// Package tables is what the SQL stores share: the questions asked of the
// tables, and how a page of an answer ends where the next one begins.
//
// Both stores lay their tables out alike, with a generation in the name, and
// number their arguments $1, $2, …, so that each question is written once. How
// rows get in differs, and stays with each store.
package tables

import (
	"encoding/base64"
	"encoding/json"

	"github.com/google/uuid"

	"outlink/domain"
	"outlink/projections"
)

// maxDue is how long a page of due grants may be: no person reads it.
const maxDue = 10_000

func pageSize(limit, most int) (int, error) {
	switch {
	case limit == 0:
		return projections.DefaultPage, nil
	case limit < 0 || limit > most:
		return 0, domain.Errorf(domain.InvalidArgument, "limit %d is not between 1 and %d; 0 means %d", limit, most, projections.DefaultPage)
	}
	return limit, nil
}

// cursor is the place of a page's last row: in the order of changes, of
// times, of names, or of subjects. People see it as one opaque word.
type cursor struct {
	Sequence uint64    `json:"s,omitempty"`
	Key      string    `json:"k,omitempty"`
	ID       uuid.UUID `json:"i,omitzero"`
}

func (c cursor) String() string {
	b, _ := json.Marshal(c) // a struct of plain values always encodes
	return base64.RawURLEncoding.EncodeToString(b)
}

// order is what a list is ordered by.
type order int

const (
	changes order = iota // Sequence
	times                // Sequence, in microseconds, and ID
	words                // Key and ID
)

// in reports whether a page of that order can have ended here. In another one it
// would begin anywhere.
func (c cursor) in(o order) bool {
	switch o {
	case times:
		return c.Key == "" && c.ID != uuid.Nil
	case words:
		return c.Sequence == 0 && c.ID != uuid.Nil
	}
	return c.Sequence != 0 && c.Key == "" && c.ID == uuid.Nil
}

// parseCursor reads what String wrote; an empty one begins at the first page.
func parseCursor(s string, o order) (*cursor, error) {
	if s == "" {
		return nil, nil
	}
	var c cursor
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || json.Unmarshal(b, &c) != nil || !c.in(o) {
		return nil, domain.Errorf(domain.InvalidArgument, "cursor %q is not one that a page of this list ended with; start without a cursor", s)
	}
	return &c, nil
}

// cut splits the row that was asked for beyond a page off its end, and says
// where the next page begins: empty after the last one.
func cut[Row any](rows []Row, limit int, place func(Row) cursor) ([]Row, string) {
	if len(rows) <= limit {
		return rows, ""
	}
	return rows[:limit], place(rows[limit-1]).String()
}
