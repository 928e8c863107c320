// go run ./others ISSUER TOKEN: golang-jwt, jwx and go-jose, each with the keys of the JWKS, which must be of one mind.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/go-jose/go-jose/v4"
	josejwt "github.com/go-jose/go-jose/v4/jwt"
	"github.com/golang-jwt/jwt/v5"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jws"
	jwxjwt "github.com/lestrrat-go/jwx/v3/jwt"
)

var errType = errors.New("not an access token, or no kid")

func main() {
	libraries := []func(issuer, token string) (string, error){golangJWT, jwx, goJose}
	minds, refusals := map[string]bool{}, []error{}
	for _, verify := range libraries {
		subject, err := verify(os.Args[1], os.Args[2])
		if err != nil {
			refusals = append(refusals, err)
		}
		minds[subject] = true
	}
	if len(refusals) == len(libraries) {
		log.Fatalln("refused:", refusals)
	}
	for subject := range minds {
		fmt.Println(subject) // one line, unless they are not of one mind
	}
}

func jwks(issuer string) (set jose.JSONWebKeySet, err error) {
	response, err := http.Get(issuer + "/.well-known/jwks.json")
	if err != nil {
		return set, err
	}
	defer response.Body.Close()
	return set, json.NewDecoder(response.Body).Decode(&set)
}

func golangJWT(issuer, token string) (string, error) {
	set, err := jwks(issuer)
	if err != nil {
		return "", err
	}
	parser := jwt.NewParser(jwt.WithValidMethods([]string{"ES256", "EdDSA", "RS256"}), jwt.WithIssuer(issuer),
		jwt.WithAudience(issuer), jwt.WithExpirationRequired(), jwt.WithIssuedAt())
	parsed, err := parser.Parse(token, func(token *jwt.Token) (any, error) {
		kid, _ := token.Header["kid"].(string)
		keys := set.Key(kid)
		if token.Header["typ"] != "at+jwt" || len(keys) != 1 || keys[0].Algorithm != token.Method.Alg() {
			return nil, errType
		}
		return keys[0].Key, nil
	})
	if err != nil {
		return "", err
	}
	return parsed.Claims.GetSubject()
}

func jwx(issuer, token string) (string, error) {
	set, err := jwk.Fetch(context.Background(), issuer+"/.well-known/jwks.json")
	if err != nil {
		return "", err
	}
	message, err := jws.Parse([]byte(token))
	if err != nil {
		return "", err
	}
	header := message.Signatures()[0].ProtectedHeaders()
	if typ, _ := header.Type(); typ != "at+jwt" || !header.Has("kid") {
		return "", errType
	}
	parsed, err := jwxjwt.Parse([]byte(token), jwxjwt.WithKeySet(set), jwxjwt.WithIssuer(issuer), jwxjwt.WithAudience(issuer),
		jwxjwt.WithRequiredClaim("exp"))
	if err != nil {
		return "", err
	}
	subject, _ := parsed.Subject()
	return subject, nil
}

func goJose(issuer, token string) (string, error) {
	set, err := jwks(issuer)
	if err != nil {
		return "", err
	}
	parsed, err := josejwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.ES256, jose.EdDSA, jose.RS256})
	if err != nil {
		return "", err
	}
	header, claims := parsed.Headers[0], josejwt.Claims{}
	if header.ExtraHeaders[jose.HeaderType] != "at+jwt" || header.KeyID == "" {
		return "", errType
	}
	if err := parsed.Claims(set, &claims); err != nil {
		return "", err
	}
	expected := josejwt.Expected{Issuer: issuer, AnyAudience: josejwt.Audience{issuer}, Time: time.Now()}
	return claims.Subject, claims.ValidateWithLeeway(expected, 0)
}
