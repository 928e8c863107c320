// An API whose users log in through wxmint: GET /orders wants a token, GET /public/hello does not.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"log"
	"net/http"
	"strings"
	"time"
)

const (
	address  = "127.0.0.1:8000"
	issuer   = "http://127.0.0.1:8080" // WXMINT_ISSUER, byte for byte; https, but on one's own machine
	audience = "http://127.0.0.1:8080" // one of WXMINT_AUDIENCE, which is the issuer by default
)

func main() {
	keys := &keySet{url: issuer + "/.well-known/jwks.json"}
	go keys.keepFresh()
	revocations := &revocations{issuer: issuer, keys: keys, held: map[string]revocation{}}
	go revocations.follow()

	guard := guard{tokens: &verifier{issuer: issuer, audience: audience, keys: keys, revocations: revocations}}
	routes := http.NewServeMux()
	routes.HandleFunc("/orders", guard.user(orders))
	routes.HandleFunc("/public/hello", hello)
	server := &http.Server{
		Addr:              address,
		Handler:           routes,
		MaxHeaderBytes:    16 << 10, // a token of wxmint has some 500 bytes
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
	}
	log.Fatal(server.ListenAndServe())
}

func orders(w http.ResponseWriter, r *http.Request) {
	answer(w, identityOf(r))
}

func hello(w http.ResponseWriter, _ *http.Request) {
	answer(w, map[string]string{"hello": "world"})
}

func answer(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body)
}

type guard struct{ tokens *verifier }

type contextKey struct{}

// user lets requests through that have a good token. Who is asking stands in the request's context, where no header of the
// client's can put it.
func (g guard) user(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		token, err := bearer(r)
		var who identity
		if err == nil {
			who, err = g.tokens.verify(token, time.Now())
		}
		if err != nil {
			refuse(w, err)
			return
		}
		next(w, r.WithContext(context.WithValue(r.Context(), contextKey{}, who)))
	}
}

func identityOf(r *http.Request) identity {
	return r.Context().Value(contextKey{}).(identity) // there behind guard.user, and a bug elsewhere
}

var errNoToken = errors.New("no token")

// bearer is the token of exactly one Authorization header: of two, a proxy in front may have looked at the other.
func bearer(r *http.Request) (string, error) {
	headers := r.Header.Values("Authorization")
	switch len(headers) {
	case 0:
		return "", errNoToken
	case 1:
		scheme, token, _ := strings.Cut(headers[0], " ")
		if !strings.EqualFold(scheme, "Bearer") || token == "" {
			return "", errNoToken
		}
		return token, nil
	default:
		return "", errors.New("several Authorization headers")
	}
}

// refuse tells the log which check failed, and the client only that it must log in again.
func refuse(w http.ResponseWriter, err error) {
	log.Printf("refused: %q", err.Error()) // quoted: parts of it may be the client's
	switch {
	case errors.Is(err, errNoKeys), errors.Is(err, errNoNews):
		w.Header().Set("Retry-After", "10")
		http.Error(w, "try again", http.StatusServiceUnavailable)
	case errors.Is(err, errNoToken):
		w.Header().Set("WWW-Authenticate", "Bearer")
		http.Error(w, "log in", http.StatusUnauthorized)
	default:
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		http.Error(w, "log in", http.StatusUnauthorized)
	}
}
