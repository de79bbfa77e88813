package eventlog

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/link"
)

// A state that no header takes is left out, as that of a provider whose answer lists
// thousands of scopes: the event is appended, and the state is its history's.
func TestLargestState(t *testing.T) {
	s := newSite(t)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	log, key, name := s.log(), domain.Key{Link: uuid.New()}, strings.Repeat("x", 300_000)
	at, err := log.Append(ctx, key, commands.Loaded[link.State]{}, link.Created{Config: link.Config{Name: name}}, commands.Meta{CommandID: uuid.New(), Time: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	if at, err = log.Append(ctx, key, at, link.Disabled{}, commands.Meta{CommandID: uuid.New(), Time: time.Now()}); err != nil {
		t.Fatal(err)
	}
	loaded, err := log.Load(ctx, key)
	if err != nil || loaded.State.Name != name || loaded.State.Status() != link.StatusDisabled || loaded.Version != at.Version || loaded.Hash != at.Hash {
		t.Errorf("loaded version %d, status %s, error %v", loaded.Version, loaded.State.Status(), err)
	}
}
