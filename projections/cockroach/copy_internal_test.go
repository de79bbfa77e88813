package cockroach

import (
	"bytes"
	"encoding/binary"
	"io"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"
)

// TestCopyEncodes: each field is as the driver encodes it.
func TestCopyEncodes(t *testing.T) {
	id, ancient, now := uuid.New(), time.Date(1969, 7, 20, 20, 17, 40, 123_456_789, time.UTC), time.Now()
	columns := []struct {
		column any
		oid    uint32
		values []any // as the driver takes them
	}{
		{ids{id, uuid.Nil}, pgtype.UUIDOID, []any{[16]byte(id), [16]byte{}}},
		{optionalIDs{id, uuid.Nil}, pgtype.UUIDOID, []any{[16]byte(id), nil}},
		{pgtype.FlatArray[int64]{-1, 1 << 60}, pgtype.Int8OID, []any{int64(-1), int64(1 << 60)}},
		{pgtype.FlatArray[string]{"", "naïve"}, pgtype.TextOID, []any{"", "naïve"}},
		{pgtype.FlatArray[[]byte]{{}, {0, 255}}, pgtype.ByteaOID, []any{[]byte{}, []byte{0, 255}}},
		{documents{[]byte(`{}`), []byte(`{"a":1}`)}, pgtype.JSONBOID, []any{[]byte(`{}`), []byte(`{"a":1}`)}},
		{pgtype.FlatArray[time.Time]{ancient, now}, pgtype.TimestamptzOID, []any{ancient, now}},
		{pgtype.FlatArray[*time.Time]{nil, &now}, pgtype.TimestamptzOID, []any{nil, now}},
	}
	types, c := pgtype.NewMap(), copying{rows: 2}
	want := []byte("PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	for _, column := range columns {
		c.columns = append(c.columns, column.column)
	}
	for row := range c.rows {
		want = binary.BigEndian.AppendUint16(want, uint16(len(columns)))
		for _, column := range columns {
			field, err := types.Encode(column.oid, pgtype.BinaryFormatCode, column.values[row], nil)
			if err != nil {
				t.Fatal(err)
			}
			if size := len(field); column.values[row] != nil {
				want = append(binary.BigEndian.AppendUint32(want, uint32(size)), field...)
			} else {
				want = binary.BigEndian.AppendUint32(want, 1<<32-1)
			}
		}
	}
	want = binary.BigEndian.AppendUint16(want, 1<<16-1)
	if got, err := io.ReadAll(iotest.OneByteReader(c.encoded())); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%q, %v,\nwant %q", got, err, want)
	}
}
