package cockroach

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// copying is what one COPY takes: the columns of rows, as a statement has them.
type copying struct {
	table   string
	names   []string
	columns []any
	rows    int
}

// documents are a column of JSONB.
type documents pgtype.FlatArray[[]byte]

// run copies the rows in, within a transaction. The driver would make a value of its
// own for each field; here each row is encoded from its columns.
func (c copying) run(ctx context.Context, tx pgx.Tx) error {
	sql := fmt.Sprintf(`COPY %s (%s) FROM STDIN BINARY`, c.table, strings.Join(c.names, ", "))
	if _, err := tx.Conn().PgConn().CopyFrom(ctx, c.encoded(), sql); err != nil {
		return fmt.Errorf("copy into %s: %w", c.table, err)
	}
	return nil
}

// encoded are the rows in the binary format of COPY, see the documentation of
// PostgreSQL: a header, of each row how many fields it has and each of them behind
// its length, and an end. They are encoded when they are read.
func (c copying) encoded() io.Reader {
	e := &encoding{rows: c.rows, unread: []byte("PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00")}
	for _, column := range c.columns {
		e.fields = append(e.fields, fieldOf(column))
	}
	return e
}

type encoding struct {
	fields []field
	rows   int
	row    int    // that is encoded next; rows: the end
	unread []byte // what is encoded
}

func (e *encoding) Read(p []byte) (int, error) {
	for len(e.unread) < len(p) && e.row <= e.rows {
		e.next()
	}
	if len(e.unread) == 0 {
		return 0, io.EOF
	}
	n := copy(p, e.unread)
	e.unread = append(e.unread[:0], e.unread[n:]...) // less than a row: its room is used again
	return n, nil
}

// next encodes one row, or the end.
func (e *encoding) next() {
	if e.row == e.rows {
		e.unread = binary.BigEndian.AppendUint16(e.unread, 1<<16-1)
	} else {
		e.unread = binary.BigEndian.AppendUint16(e.unread, uint16(len(e.fields)))
		for _, f := range e.fields {
			e.unread = f(e.unread, e.row)
		}
	}
	e.row++
}

// field appends a column's field of a row.
type field func(buf []byte, row int) []byte

func fieldOf(column any) field {
	switch c := column.(type) {
	case ids:
		return func(buf []byte, row int) []byte { return appendID(buf, c[row]) }
	case optionalIDs:
		return func(buf []byte, row int) []byte { return appendOptionalID(buf, c[row]) }
	case pgtype.FlatArray[int64]:
		return func(buf []byte, row int) []byte { return appendInt(buf, c[row]) }
	case pgtype.FlatArray[string]:
		return func(buf []byte, row int) []byte { return append(length(buf, len(c[row])), c[row]...) }
	case pgtype.FlatArray[[]byte]:
		return func(buf []byte, row int) []byte { return append(length(buf, len(c[row])), c[row]...) }
	case documents:
		const version = 1
		return func(buf []byte, row int) []byte {
			return append(append(length(buf, 1+len(c[row])), version), c[row]...)
		}
	case pgtype.FlatArray[time.Time]:
		return func(buf []byte, row int) []byte { return appendTime(buf, c[row]) }
	case pgtype.FlatArray[*time.Time]:
		return func(buf []byte, row int) []byte {
			if c[row] == nil {
				return length(buf, null)
			}
			return appendTime(buf, *c[row])
		}
	}
	panic(fmt.Sprintf("a column of %T", column)) // a column that nobody writes
}

// null is the length of NULL.
const null = -1

func length(buf []byte, n int) []byte { return binary.BigEndian.AppendUint32(buf, uint32(int32(n))) }

func appendID(buf []byte, id uuid.UUID) []byte { return append(length(buf, len(id)), id[:]...) }

func appendOptionalID(buf []byte, id uuid.UUID) []byte {
	if id == uuid.Nil {
		return length(buf, null)
	}
	return appendID(buf, id)
}

func appendInt(buf []byte, n int64) []byte {
	return binary.BigEndian.AppendUint64(length(buf, 8), uint64(n))
}

// epoch is PostgreSQL's: 2000-01-01, in seconds of Unix's.
const epoch = 946_684_800

func appendTime(buf []byte, t time.Time) []byte {
	return appendInt(buf, (t.Unix()-epoch)*1_000_000+int64(t.Nanosecond())/1000)
}
