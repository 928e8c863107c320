module example.com/orders

go 1.19

// v4.5.2 is the first of v4 that bounds what a malformed header may cost.
require github.com/golang-jwt/jwt/v4 v4.5.2
