package vault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"outlink/commands"
	"outlink/domain"
)

// deviceCode is a device code in the clear, as it is sealed.
type deviceCode struct {
	Authorization uuid.UUID       `json:"authorization_id"`
	Code          string          `json:"device_code"`
	Shown         commands.Device `json:"shown"`
	Interval      time.Duration   `json:"interval"`
	ExpiresAt     time.Time       `json:"expires_at"`
	NotBefore     time.Time       `json:"not_before"`
}

func deviceEntry(key domain.Key) string {
	return "device." + key.Link.String() + "." + key.Grant.String()
}

// DeviceCode returns the device code of a grant's last authorization and its
// revision. One whose grant was shredded since counts as none.
func (v *Vault) DeviceCode(ctx context.Context, key domain.Key) (commands.DeviceCode, uint64, error) {
	entry, err := v.boxes.Get(ctx, deviceEntry(key))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return commands.DeviceCode{}, 0, nil
	}
	if err != nil {
		return commands.DeviceCode{}, 0, unavailable("look up the device code of "+key.String(), err)
	}
	dek, err := v.dataKey(ctx, key)
	if domain.CodeOf(err) == domain.Unavailable {
		return commands.DeviceCode{}, 0, err
	}
	var plain domain.Secret
	if err == nil {
		plain, err = v.open(dek, key, "device_code", 0, entry.Value())
	}
	var d deviceCode
	if err != nil || json.Unmarshal([]byte(plain.Reveal()), &d) != nil {
		return commands.DeviceCode{}, entry.Revision(), nil //nolint:nilerr // sealed with a key that is gone: a new code takes its place
	}
	return commands.DeviceCode{
		Authorization: d.Authorization, Code: domain.NewSecret(d.Code), Shown: d.Shown,
		Interval: d.Interval, ExpiresAt: d.ExpiresAt, NotBefore: d.NotBefore,
	}, entry.Revision(), nil
}

// StoreDeviceCode replaces a revision, or returns commands.ErrOvertaken.
func (v *Vault) StoreDeviceCode(ctx context.Context, key domain.Key, d commands.DeviceCode, after uint64) (uint64, error) {
	dek, err := v.dataKey(ctx, key)
	if err != nil {
		return 0, err
	}
	plain, err := json.Marshal(deviceCode{d.Authorization, d.Code.Reveal(), d.Shown, d.Interval, d.ExpiresAt, d.NotBefore})
	if err != nil {
		return 0, fmt.Errorf("encode the device code of %s", key) // the error would quote it
	}
	revision, err := v.boxes.Update(ctx, deviceEntry(key), v.seal(dek, key, "device_code", 0, domain.NewSecret(string(plain))), after)
	return revision, stored(ctx, "keep the device code of "+key.String(), err)
}
