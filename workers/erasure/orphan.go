package erasure

import (
	"context"

	"outlink/domain/answer"
	"outlink/domain/provider"
)

// Orphan revokes a refresh token that came after its consent was over, and that
// nobody will have; the error says why it lives on. Without a new one in the answer
// there is nothing to end: the access token ends by itself, and where tokens stay the
// same, or a revocation ends all of a user's consents, it would take a newer consent
// along.
func Orphan(ctx context.Context, at Revoker, r provider.Registration, t answer.Token) error {
	switch {
	case r.RevocationEndpoint == "":
		return errNothing("the link has no revocation endpoint")
	case t.RefreshToken.IsZero():
		return errNothing("the answer has no refresh token")
	case r.Provider.Rotation.Kind == provider.Stable, r.Provider.Revocation == "project":
		return errNothing("it may be the token of a newer consent as well")
	}
	return at.Revoke(ctx, r, t.RefreshToken, "refresh_token")
}
