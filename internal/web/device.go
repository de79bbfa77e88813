package web

import (
	"context"
	"net/http"
	"strings"
	"time"

	"outlink/commands"
	"outlink/domain"
)

// A node asks the provider for a code within a moment; a slow provider has so long.
const (
	codeWithin = 10 * time.Second
	codeEvery  = 200 * time.Millisecond
)

// device begins an authorization on another device, and shows its code. The code is
// in the answer to the form alone: its address would be as good as the code.
func (s *Site) device(w http.ResponseWriter, r *http.Request) {
	id, err := linkID(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	row, err := s.Read.Link(r.Context(), id)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	o, err := s.deviceCode(r.Context(), commands.BeginAuthorization{
		Header: s.header(), Link: id, Subject: strings.TrimSpace(r.PostFormValue("subject")), Device: true,
	})
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.page(w, r, http.StatusOK, devicePage(s.item(row, nil).Provider, o, at(s.Now(), *o.ExpiresAt)))
}

// deviceCode waits for the provider's code.
func (s *Site) deviceCode(ctx context.Context, c commands.BeginAuthorization) (commands.Outcome, error) {
	o, err := s.Commands.BeginAuthorization(ctx, c)
	for end := time.Now().Add(codeWithin); err == nil && o.Device.UserCode == ""; o, err = s.Commands.WithDeviceCode(ctx, o) {
		if time.Now().After(end) {
			return o, domain.Errorf(domain.Unavailable, "the provider has given no code yet; the timeline of the link says why")
		}
		select {
		case <-time.After(codeEvery):
		case <-ctx.Done():
			return o, domain.Errorf(domain.Unavailable, "nobody waits for the code any more")
		}
	}
	return o, err
}
