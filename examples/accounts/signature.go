package main

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// requestVerifier checks that a request comes from wxmint and is what wxmint sent. Copy this file into your service, with
// keys.go and token.go of examples/peers/go, and run keys.keepFresh in a goroutine.
type requestVerifier struct {
	issuer  string // WXMINT_ISSUER
	baseURL string // WXMINT_ACCOUNTS, as wxmint has it, without a slash at its end
	keys    *keySet
}

// verify takes the Authorization header, what follows baseURL in the URL, and the bytes of the body as they came. The error
// errNoKeys wants the answer 503, any other 401.
func (v *requestVerifier) verify(authorization, path string, body []byte, now time.Time) error {
	token, isBearer := strings.CutPrefix(authorization, "Bearer ")
	if !isBearer || len(token) > maxToken {
		return errors.New("no request token")
	}
	if err := wellFormed(token); err != nil {
		return err
	}
	claims := jwt.MapClaims{}
	_, err := parser.ParseWithClaims(token, claims, func(token *jwt.Token) (any, error) {
		// wxmint signs access tokens with the same key: the type tells them apart.
		if _, critical := token.Header["crit"]; critical || token.Header["typ"] != "wxmint-request+jwt" {
			return nil, errors.New("not the token of a request")
		}
		kid, _ := token.Header["kid"].(string)
		return v.keys.key(kid, token.Method.Alg())
	})
	if errors.Is(err, errNoKeys) {
		return errNoKeys
	} else if err != nil {
		return err
	}
	issued, hasIssued := seconds(claims, "iat")
	expires, hasExpires := seconds(claims, "exp")
	digest := sha256.Sum256(body)
	switch {
	case text(claims, "iss") != v.issuer || text(claims, "aud") != v.baseURL:
		return errors.New("another issuer's, or for another service")
	case !hasIssued || !hasExpires || text(claims, "jti") == "":
		return errors.New("without iat, exp or jti")
	case issued.After(now.Add(leeway)) || !now.Before(expires.Add(leeway)):
		return errors.New("expired, or not valid yet")
	case text(claims, "htm") != "POST" || text(claims, "htu") != v.baseURL+path:
		return errors.New("of another method or URL")
	case text(claims, "body_sha256") != base64.RawURLEncoding.EncodeToString(digest[:]):
		return errors.New("of another body")
	}
	return nil
}
