package answer

import (
	"time"

	"outlink/domain"
)

// Device is what a device authorization endpoint answered (RFC 8628 section 3.2).
type Device struct {
	Code                    domain.Secret // device_code
	UserCode                string
	VerificationURI         string
	VerificationURIComplete string
	Lifetime                time.Duration
	Interval                time.Duration
}
