package notify_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"outlink/domain/notice"
	"outlink/workers/notify"
)

// Foreign messages are told once in ten minutes, whatever links they are on; one
// that is delivered again has the same id.
func TestForeignMessages(t *testing.T) {
	w, ctx := newWorld(), context.Background()
	tell := func(sequence uint64, link uuid.UUID) {
		t.Helper()
		if err := w.Foreign(ctx, notice.Notice{Link: link, Sequence: sequence, Reason: "it has no MAC", At: w.now}); err != nil {
			t.Fatal(err)
		}
	}
	tell(7, crm)
	tell(7, crm)
	tell(8, crm)
	tell(9, uuid.New())
	if len(w.sent) != 2 || w.sent[0].ID != w.sent[1].ID {
		t.Fatalf("sent %d notices, want one and its repeat: %+v", len(w.sent), w.sent)
	}
	n := w.sent[0]
	if n.Kind != notice.ForeignMessage || n.Link != crm || n.LinkName != "crm" || n.Sequence != 7 || !strings.Contains(n.Advice.Why, "it has no MAC") {
		t.Errorf("%+v", n)
	}
	w.now = w.now.Add(notify.WindowLasts + time.Second)
	if err := w.Close(ctx, w.now); err != nil || len(w.sent) != 2 {
		t.Errorf("the end of the window sent %+v, %v", w.sent[2:], err)
	}
	if tell(10, crm); len(w.sent) != 3 {
		t.Error("nothing is told after the window")
	}
}
