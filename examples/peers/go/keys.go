package main

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"math/rand"
	"net/http"
	"sync/atomic"
	"time"
)

const (
	// wxmint publishes a key for 30 minutes (WXMINT_KEY_PREPUBLISH) before it signs, so that nobody has to ask for a key that a
	// token names: strangers cannot make this service fetch anything.
	refreshEvery = 5 * time.Minute
	retryAfter   = 10 * time.Second
	maxSet       = 64 << 10
	keysMaxAge   = 24 * time.Hour // keys that the issuer has not confirmed for so long are no longer believed
)

var (
	errNoKeys     = errors.New("no keys yet")
	errUnknownKey = errors.New("no key has its kid and alg")
)

type publicKey struct {
	alg string
	key any
}

// keySet is the issuer's published keys: the last good ones, while the issuer is away.
type keySet struct {
	url       string
	current   atomic.Pointer[map[string]publicKey]
	confirmed atomic.Int64 // seconds since 1970
}

func (s *keySet) believed(now time.Time) bool {
	age := now.Sub(time.Unix(s.confirmed.Load(), 0)).Abs() // the clock may have been ahead
	return s.current.Load() != nil && age < keysMaxAge
}

// key is the one of this name, for the one algorithm that it is published for.
func (s *keySet) key(kid, alg string) (any, error) {
	if !s.believed(time.Now()) {
		return nil, errNoKeys
	}
	found, has := (*s.current.Load())[kid]
	if !has || found.alg != alg {
		return nil, errUnknownKey
	}
	return found.key, nil
}

func (s *keySet) keepFresh() {
	for {
		wait := refreshEvery
		if !s.refresh() {
			wait = retryAfter // the issuer may still be down: then 503 until it is there
		}
		time.Sleep(wait - time.Duration(rand.Int63n(int64(wait/5)))) // not all replicas at once
	}
}

func (s *keySet) refresh() bool {
	keys, err := fetch(s.url)
	if err != nil {
		log.Printf("keys: %v; those in use stay", err)
		return false
	}
	s.current.Store(&keys)
	s.confirmed.Store(time.Now().Unix())
	return true
}

var client = &http.Client{
	Timeout: 5 * time.Second, // for all of it
	// Keys come from the address that was set, and from no other.
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

func fetch(url string) (map[string]publicKey, error) {
	response, err := client.Get(url)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %d", url, response.StatusCode)
	}
	body, err := io.ReadAll(http.MaxBytesReader(nil, response.Body, maxSet))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", url, err)
	}
	return parse(body)
}

type jwk struct {
	Kty, Crv, Alg, Use, Kid, X, Y, N, E string
	Ops                                 []string `json:"key_ops"`
}

func (k jwk) verifies() bool {
	for _, operation := range k.Ops {
		if operation == "verify" {
			return k.Use == "sig"
		}
	}
	return k.Use == "sig" && k.Ops == nil
}

// parse leaves out a key that it cannot use, and refuses a set in which no key can be used.
func parse(body []byte) (map[string]publicKey, error) {
	var set struct{ Keys []json.RawMessage }
	if err := json.Unmarshal(body, &set); err != nil {
		return nil, err
	}
	keys := map[string]publicKey{}
	for _, raw := range set.Keys {
		var key jwk
		if json.Unmarshal(raw, &key) != nil || key.Kid == "" || !key.verifies() {
			continue
		}
		if public := key.public(); public != nil {
			keys[key.Kid] = publicKey{alg: key.Alg, key: public}
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("a set without a key that can be used")
	}
	return keys, nil
}

// public is the key if its members belong together. The algorithm is the key's, never the token's.
func (k jwk) public() any {
	switch [3]string{k.Kty, k.Crv, k.Alg} {
	case [3]string{"EC", "P-256", "ES256"}:
		x, y := number(decoded(k.X)), number(decoded(k.Y))
		if elliptic.P256().IsOnCurve(x, y) {
			return &ecdsa.PublicKey{Curve: elliptic.P256(), X: x, Y: y}
		}
	case [3]string{"OKP", "Ed25519", "EdDSA"}:
		if x := decoded(k.X); len(x) == ed25519.PublicKeySize {
			return ed25519.PublicKey(x)
		}
	case [3]string{"RSA", "", "RS256"}:
		n, e := number(decoded(k.N)), number(decoded(k.E))
		if bits := n.BitLen(); 2048 <= bits && bits <= 8192 && e.IsInt64() && 3 <= e.Int64() && e.Int64() < 1<<31 {
			return &rsa.PublicKey{N: n, E: int(e.Int64())}
		}
	}
	return nil
}

// decoded is nothing where text is not base64url.
func decoded(text string) []byte {
	bytes, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return nil
	}
	return bytes
}

func number(bytes []byte) *big.Int { return new(big.Int).SetBytes(bytes) }
