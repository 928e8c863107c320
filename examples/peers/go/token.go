package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	maxToken    = 8 << 10             // before anything is parsed
	leeway      = time.Minute         // by how much clocks may differ
	longestLife = 30 * 24 * time.Hour // no issuer can be set to more
)

// identity is who a token says is asking.
type identity struct {
	UserID   string `json:"user_id"`
	ClientID string `json:"client_id"`
}

type verifier struct {
	issuer, audience string
	keys             *keySet
	revocations      *revocations
}

// The library checks the signature. The claims are checked below: it takes tokens without exp, iss and aud, and knows
// nothing of typ and crit.
var parser = jwt.NewParser(
	jwt.WithValidMethods([]string{"ES256", "EdDSA", "RS256"}), // never none, never HS256
	jwt.WithJSONNumber(),
	jwt.WithoutClaimsValidation(),
)

func (v *verifier) verify(token string, now time.Time) (identity, error) {
	if len(token) > maxToken {
		return identity{}, errors.New("too long")
	}
	if err := wellFormed(token); err != nil {
		return identity{}, err
	}
	claims := jwt.MapClaims{}
	parsed, err := parser.ParseWithClaims(token, claims, v.key)
	if err != nil {
		return identity{}, err
	}
	who, err := v.judge(claims, now)
	if err != nil {
		return identity{}, err
	}
	kid, _ := parsed.Header["kid"].(string)
	return who, v.revocations.check(kid, claims, now)
}

// key is the one that the header names, if the rest of the header is a wxmint token's.
func (v *verifier) key(token *jwt.Token) (any, error) {
	typ, _ := token.Header["typ"].(string)
	if typ = strings.ToLower(typ); typ != "at+jwt" && typ != "application/at+jwt" {
		return nil, errors.New("not an access token") // something else that the same key has signed
	}
	for _, name := range []string{"crit", "jwk", "jku", "x5u", "x5c", "zip", "enc", "b64", "cty"} {
		if _, has := token.Header[name]; has {
			return nil, errors.New("its header has " + name)
		}
	}
	kid, _ := token.Header["kid"].(string)
	return v.keys.key(kid, token.Method.Alg())
}

func (v *verifier) judge(claims jwt.MapClaims, now time.Time) (identity, error) {
	user, client := text(claims, "sub"), text(claims, "client_id")
	issued, hasIssued := seconds(claims, "iat")
	expires, hasExpires := seconds(claims, "exp")
	notBefore, hasNotBefore := seconds(claims, "nbf")
	_, namesNotBefore := claims["nbf"]
	switch {
	case text(claims, "iss") != v.issuer:
		return identity{}, errors.New("another issuer's")
	case !isFor(claims["aud"], v.audience):
		return identity{}, errors.New("for another audience")
	case user == "" || client == "" || text(claims, "jti") == "":
		return identity{}, errors.New("without sub, client_id or jti")
	case !hasIssued || !hasExpires || namesNotBefore != hasNotBefore:
		return identity{}, errors.New("its times are missing or no whole numbers")
	case !now.Before(expires.Add(leeway)):
		return identity{}, errors.New("expired")
	case issued.After(now.Add(leeway)) || hasNotBefore && notBefore.After(now.Add(leeway)):
		return identity{}, errors.New("not valid yet")
	case !expires.After(issued) || expires.Sub(issued) > longestLife:
		return identity{}, errors.New("lives too long")
	}
	return identity{UserID: user, ClientID: client}, nil
}

func text(claims jwt.MapClaims, name string) string {
	value, _ := claims[name].(string)
	return value
}

// seconds reads a NumericDate. Whole, and of a size that can be a date: 2^64-1 would not expire for long.
func seconds(claims jwt.MapClaims, name string) (time.Time, bool) {
	number, _ := claims[name].(json.Number)
	value, err := number.Int64()
	return time.Unix(value, 0), err == nil && 0 <= value && value < 1<<40
}

// isFor tells whether aud, a string or an array of strings, names ours.
func isFor(aud any, ours string) bool {
	if list, isList := aud.([]any); isList {
		for _, one := range list {
			if one == ours {
				return true
			}
		}
		return false
	}
	return aud == ours
}

// wellFormed refuses what the library reads in one of several ways: a part that is not canonical base64url, and a header
// or claims with a member that stands twice.
func wellFormed(token string) error {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return errors.New("not three parts")
	}
	for index, part := range parts {
		decoded, err := base64.RawURLEncoding.Strict().DecodeString(part)
		if err != nil || strings.ContainsAny(part, "\r\n") { // which even the strict decoder skips
			return errors.New("not base64url")
		}
		if index < 2 && !eachOnce(decoded) {
			return errors.New("not JSON, or a member stands twice")
		}
	}
	return nil
}

func eachOnce(text []byte) bool {
	decoder := json.NewDecoder(bytes.NewReader(text))
	if !valueOnce(decoder, 128) {
		return false
	}
	_, err := decoder.Token()
	return err == io.EOF
}

func valueOnce(decoder *json.Decoder, depth int) bool {
	token, err := decoder.Token()
	if err != nil || depth == 0 {
		return false
	}
	delimiter, nested := token.(json.Delim)
	seen := map[any]bool{}
	for nested && decoder.More() {
		if delimiter == '{' {
			name, err := decoder.Token()
			if err != nil || seen[name] {
				return false
			}
			seen[name] = true
		}
		if !valueOnce(decoder, depth-1) {
			return false
		}
	}
	if nested {
		_, err = decoder.Token()
	}
	return err == nil
}
