package cockroach

import (
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
)

// idsFirst is a column of ids that is the first argument of a statement, with the
// room that all its arguments take. The driver encodes them into one buffer, which
// it makes anew for each statement and grows by a quarter each time: for a megabyte
// of rows it would copy five.
type idsFirst struct {
	ids  [][16]byte
	room int // bytes
}

// reserving makes the room in the plan of the driver's that encodes the ids.
type reserving struct{ next pgtype.EncodePlan }

func (r *reserving) SetNext(next pgtype.EncodePlan) { r.next = next }

// Encode implements pgtype.EncodePlan.
func (r *reserving) Encode(value any, buf []byte) ([]byte, error) {
	first, ok := value.(idsFirst)
	if !ok {
		return nil, fmt.Errorf("%T is no column of ids", value)
	}
	return r.next.Encode(first.ids, slices.Grow(buf, first.room))
}

// reserve has a connection's types know idsFirst.
func reserve(types *pgtype.Map) {
	types.TryWrapEncodePlanFuncs = append([]pgtype.TryWrapEncodePlanFunc{
		func(value any) (pgtype.WrappedEncodePlanNextSetter, any, bool) {
			first, ok := value.(idsFirst)
			return &reserving{}, first.ids, ok
		},
	}, types.TryWrapEncodePlanFuncs...)
}

// roomy gives a statement of columns the room for them: arrays in binary, where
// each value has its length in four bytes before it.
func roomy(q statement) statement {
	ids, ok := q.args[0].([][16]byte)
	if !ok {
		return q
	}
	room := 0
	for _, column := range q.args {
		room += roomOf(column)
	}
	q.args[0] = idsFirst{ids, room}
	return q
}

func roomOf(column any) int {
	const header, length = 20, 4
	room := header
	switch c := column.(type) {
	case []string:
		for _, v := range c {
			room += length + len(v)
		}
	case [][]byte:
		for _, v := range c {
			room += length + len(v)
		}
	case [][16]byte:
		room += len(c) * (length + 16)
	case []*[16]byte:
		room += len(c) * (length + 16)
	case []int64:
		room += len(c) * (length + 8)
	case []time.Time:
		room += len(c) * (length + 8)
	case []*time.Time:
		room += len(c) * (length + 8)
	}
	return room
}
