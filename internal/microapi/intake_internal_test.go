package microapi

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"outlink/domain"
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

// A fault of this installation is an error in the log; that somebody has to try again
// is none.
func TestLevelOfAFailure(t *testing.T) {
	for code, want := range map[domain.Code]string{domain.Internal: "level=ERROR", domain.Unavailable: "level=INFO", domain.NotFound: ""} {
		var log bytes.Buffer
		s := &server{API: &API{Log: slog.New(slog.NewTextHandler(&log, nil))}}
		s.fail(request{reply: "_INBOX.a", subject: "outlink.token.get.x"}, domain.Errorf(code, "oh"))
		line, _, _ := strings.Cut(log.String(), "\n") // the next one is about the reply that nobody takes
		if failed := strings.Contains(line, "a request failed"); failed != (want != "") || !strings.Contains(line, want) {
			t.Errorf("%s: %q, want %q", code, line, want)
		}
	}
}
