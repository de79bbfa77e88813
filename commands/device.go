package commands

import (
	"context"
	"time"

	"github.com/google/uuid"

	"outlink/domain"
)

// Device is what a person needs to consent on another device (RFC 8628 section
// 3.2). Whoever has it can give the consent in that person's place, so that it
// is in no event; it is empty until the provider gave it.
type Device struct {
	UserCode                string `json:"user_code,omitempty"`
	VerificationURI         string `json:"verification_uri,omitempty"`
	VerificationURIComplete string `json:"verification_uri_complete,omitempty"`
}

// DeviceCode is a provider's answer to a device authorization request, and how
// it is asked about from now on.
type DeviceCode struct {
	Authorization uuid.UUID
	Code          domain.Secret // with which the provider is asked
	Shown         Device
	Interval      time.Duration // between two questions
	ExpiresAt     time.Time
	NotBefore     time.Time // of the next question: who moves it asks, and nobody else
}

// DeviceCodes keeps the device code of a grant's open authorization in the vault.
type DeviceCodes interface {
	// DeviceCode returns the last one and its revision, or zero.
	DeviceCode(ctx context.Context, key domain.Key) (DeviceCode, uint64, error)

	// StoreDeviceCode replaces that revision and returns the new one, or
	// ErrOvertaken.
	StoreDeviceCode(ctx context.Context, key domain.Key, d DeviceCode, after uint64) (uint64, error)
}

// WithDeviceCode adds to the outcome of BeginAuthorization what the person needs, if
// the provider gave it by now. It is an error when there will be none any more.
func (s *Service) WithDeviceCode(ctx context.Context, out Outcome) (Outcome, error) {
	key := domain.Key{Link: out.Link, Grant: out.Grant}
	d, _, err := s.Devices.DeviceCode(ctx, key)
	if err != nil {
		return Outcome{}, err
	}
	if d.Authorization == out.Authorization {
		out.Device, out.ExpiresAt = &d.Shown, &d.ExpiresAt
		return out, nil
	}
	at, err := s.Grants.Load(ctx, key)
	if err != nil {
		return Outcome{}, err
	}
	if a := at.State.Authorization; a == nil || a.Authorization != out.Authorization {
		return Outcome{}, domain.Errorf(domain.FailedPrecondition, "this authorization is over: it has no code for another device; what became of it says: outlink grant explain %s", key.Grant)
	}
	return out, nil
}
