package microapi

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"outlink/internal/jobs"
)

// An outcome goes to inboxes only; whoever asks for it elsewhere is found in the log.
func TestForeignReplyOfASubmittedCommand(t *testing.T) {
	var log bytes.Buffer
	i := &Intake{Log: slog.New(slog.NewTextHandler(&log, nil))}
	i.reply(jobs.Job{Subject: "outlink.submit.DisableLink", Sequence: 7}, nil) // who does not ask is no news
	if log.Len() > 0 {
		t.Errorf("logged %s", log.String())
	}
	i.reply(jobs.Job{Subject: "outlink.submit.DisableLink", Sequence: 7, Header: nats.Header{replyHeader: {"my.replies.4"}}}, nil)
	for _, want := range []string{"level=WARN", "my.replies.4", "outlink.submit.DisableLink", "sequence=7"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("no %q in %q", want, log.String())
		}
	}
}
