package commands

import (
	"testing"
	"time"

	"github.com/google/uuid"
)

// A command looks back to when it was made, as far as its id says that.
func TestBefore(t *testing.T) {
	timed := uuid.Must(uuid.NewV7())
	for name, tt := range map[string]struct {
		door     Door
		own      uuid.UUID
		possible bool
		since    time.Time
	}{
		"an id with a time":              {Door{}, timed, true, time.Now().Add(-skew)},
		"the same, said to be a repeat":  {Door{Again: true}, timed, true, time.Time{}},
		"an id without a time":           {Door{}, uuid.New(), true, time.Time{}},
		"the id of a row":                {Door{}, uuid.NewSHA1(uuid.Nil, []byte("row 1")), true, time.Time{}},
		"no id":                          {Door{}, uuid.Nil, false, time.Time{}},
		"the door's":                     {Door{ID: uuid.New()}, uuid.Nil, false, time.Time{}},
		"the door's, delivered again":    {Door{ID: uuid.New(), Again: true}, uuid.Nil, true, time.Time{}},
		"its own where the door has one": {Door{ID: uuid.New()}, timed, true, time.Now().Add(-skew)},
	} {
		got := tt.door.before(tt.own)
		if got.possible != tt.possible || got.since.IsZero() != tt.since.IsZero() || got.since.Sub(tt.since).Abs() > time.Minute {
			t.Errorf("%s: %+v, want %v since %s", name, got, tt.possible, tt.since)
		}
	}
}
