package cockroach

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"
)

// TestRoom: all columns of a statement fit into the room that is made with its
// first one, and are encoded as without it.
func TestRoom(t *testing.T) {
	const rows = 100
	at := time.Now()
	q := statement{args: []any{
		ids(append(column(make([]int, rows-1), func(*int) uuid.UUID { return uuid.New() }), uuid.Nil)),
		column(make([]int, rows), func(*int) string { return strings.Repeat("x", 99) }),
		column(make([]int, rows), func(*int) []byte { return []byte("name") }),
		optionalIDs(column([]uuid.UUID{uuid.New(), uuid.Nil, uuid.New()}, func(id *uuid.UUID) uuid.UUID { return *id })),
		column(make([]int, rows), func(*int) int64 { return 1 << 60 }),
		column(make([]int, rows), func(*int) time.Time { return at }),
		column(make([]int, rows), func(*int) *time.Time { return &at }),
	}}
	oids := []uint32{
		pgtype.UUIDArrayOID, pgtype.TextArrayOID, pgtype.ByteaArrayOID, pgtype.UUIDArrayOID, pgtype.Int8ArrayOID, pgtype.TimestamptzArrayOID, pgtype.TimestamptzArrayOID,
	}
	types, plain := pgtype.NewMap(), pgtype.NewMap()
	knowIDs(types)
	var want []byte
	for i, arg := range q.args {
		var err error
		switch column := arg.(type) {
		case ids:
			arg = pgtype.FlatArray[[16]byte](byDriver(column))
		case optionalIDs:
			arg = nullable(column)
		}
		if want, err = plain.Encode(oids[i], pgtype.BinaryFormatCode, arg, want); err != nil {
			t.Fatal(err)
		}
	}
	var got []byte
	grown := 0
	for i, arg := range roomy(q).args {
		before := cap(got)
		var err error
		if got, err = types.Encode(oids[i], pgtype.BinaryFormatCode, arg, got); err != nil {
			t.Fatal(err)
		}
		if cap(got) != before {
			grown++
		}
	}
	if !bytes.Equal(got, want) || grown != 1 {
		t.Errorf("%d bytes, want %d; the buffer was made %d times", len(got), len(want), grown)
	}
	if left := cap(got) - len(got); left > len(got)/4 {
		t.Errorf("%d bytes of the room are left, of %d", left, len(got))
	}
}

// byDriver are ids as the driver knows them.
func byDriver(column []uuid.UUID) (out [][16]byte) {
	for _, id := range column {
		out = append(out, id)
	}
	return out
}

// nullable are ids that may be none, as the driver knows them.
func nullable(column []uuid.UUID) (out []*[16]byte) {
	for i, id := range column {
		if id == uuid.Nil {
			out = append(out, nil)
		} else {
			out = append(out, (*[16]byte)(&column[i]))
		}
	}
	return out
}

// TestRoomless: a statement that is not of columns stays as it is.
func TestRoomless(t *testing.T) {
	q := roomy(statement{args: []any{"links", 1, int64(2)}})
	if q.args[0] != "links" || len(q.args) != 3 {
		t.Errorf("%v", q.args)
	}
}
