// A login by coreos/go-oidc: oidc ISSUER CLIENT_ID SECRET REDIRECT_URI. tests/it/oidc/foreign.rs is its browser.
package main

import (
	"bufio"
	"context"
	"fmt"
	"net/url"
	"os"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func main() {
	ctx, issuer, lines := context.Background(), os.Args[1], bufio.NewScanner(os.Stdin)
	provider := must(oidc.NewProvider(ctx, issuer))
	config := oauth2.Config{
		ClientID: os.Args[2], ClientSecret: os.Args[3], RedirectURL: os.Args[4], Endpoint: provider.Endpoint(),
		Scopes: []string{oidc.ScopeOpenID, oidc.ScopeOfflineAccess},
	}
	ask := func(state, nonce, verifier string) url.Values {
		fmt.Println(config.AuthCodeURL(state, oidc.Nonce(nonce), oauth2.S256ChallengeOption(verifier)))
		lines.Scan()
		return must(url.Parse(lines.Text())).Query()
	}
	state, nonce, verifier := oauth2.GenerateVerifier(), oauth2.GenerateVerifier(), oauth2.GenerateVerifier()
	back := ask(state, nonce, verifier)
	tokens := must(config.Exchange(ctx, back.Get("code"), oauth2.VerifierOption(verifier)))
	id := must(provider.Verifier(&oidc.Config{ClientID: config.ClientID}).Verify(ctx, tokens.Extra("id_token").(string)))
	if back.Get("state") != state || back.Get("iss") != issuer || id.Nonce != nonce {
		panic("another answer")
	}
	if err := id.VerifyAccessToken(tokens.AccessToken); err != nil {
		panic(err)
	}
	// A token that is renewed at once, as if it had expired.
	renewed := must(config.TokenSource(ctx, &oauth2.Token{RefreshToken: tokens.RefreshToken}).Token())
	told := must(provider.UserInfo(ctx, oauth2.StaticTokenSource(renewed)))
	if told.Subject != id.Subject || renewed.RefreshToken == tokens.RefreshToken {
		panic("another user, or the same token")
	}
	fmt.Println(id.Subject)
	if ask(state, nonce, verifier).Get("iss") != issuer {
		fmt.Println("refused: another issuer has answered")
	}
}
