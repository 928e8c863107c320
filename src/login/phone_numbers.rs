//! Phone numbers that WeChat verifies. Each costs the operator money, so their number per day is
//! limited, for each person and for each app.

use std::time::Duration;

use wxmint_ids::{Person, Phone, PhoneCode, is_code_of_wechat};
use wxmint_store::limits::{LimitError, Rate, Reservation};
use wxmint_store::{AttemptId, KeptTexts, RateLimitKey, StoreError, counted_phone_code};
use wxmint_wechat::ByToken;

use super::limits::{NUMBERS, PHONE};
use super::{
    AppCalls, AppRefusal, CountError, LimitReached, LoginLimits, RequestError, TokenHolder,
    WeChatRefusal,
};

const A_DAY: Duration = Duration::from_hours(24);
/// How long a counted code is remembered. WeChat accepts a code for 5 minutes.
const CODE_KNOWN: Duration = Duration::from_mins(10);

/// The two limits, as log and audit name them.
const PER_PERSON: &str = "phone_numbers_per_person";
const PER_APP: &str = "phone_numbers_per_app";

/// Why there is no phone number for a code.
#[derive(Debug, thiserror::Error)]
pub enum PhoneNumberError {
    #[error("WeChat does not accept the phone code")]
    CodeInvalid,
    #[error("the phone code has been used")]
    CodeUsed,
    #[error(transparent)]
    Request(RequestError),
}

impl<E: Into<RequestError>> From<E> for PhoneNumberError {
    fn from(error: E) -> Self {
        match error.into() {
            RequestError::WeChat(WeChatRefusal::CodeInvalid) => Self::CodeInvalid,
            RequestError::WeChat(WeChatRefusal::CodeUsed) => Self::CodeUsed,
            error => Self::Request(error),
        }
    }
}

/// A phone number that was counted for the person and for the app.
struct CountedNumber {
    of_person: (RateLimitKey, Reservation),
    of_app: (RateLimitKey, Reservation),
    /// The store's key that marks the code as counted, and the attempt that counted it.
    key: String,
    attempt: String,
}

/// Phone numbers that WeChat verifies.
#[derive(Clone, Copy)]
pub struct PhoneNumbers<'a> {
    pub(super) limits: LoginLimits<'a>,
    pub(super) calls: AppCalls<'a>,
    pub(super) texts: &'a KeptTexts,
}

impl PhoneNumbers<'_> {
    /// The phone number that a `getPhoneNumber` code stands for, which must be the asking person's
    /// own.
    pub async fn phone_number(
        &self,
        holder: &TokenHolder,
        code: &PhoneCode,
    ) -> Result<Phone, PhoneNumberError> {
        self.limits.count_call(&holder.person, PHONE).await?;
        self.phone_of(&holder.person, code).await
    }

    /// The phone number that `code` stands for, which must be this person's own.
    pub(super) async fn phone_of(
        &self,
        person: &Person,
        code: &PhoneCode,
    ) -> Result<Phone, PhoneNumberError> {
        if !is_code_of_wechat(code.as_str()) {
            return Err(PhoneNumberError::CodeInvalid);
        }
        self.calls.check_has_session_keys(&person.app)?;
        let counted = self.count_number(person, code).await?;
        let exchange = async |by: ByToken<'_>| by.phone_number(code, &person.openid).await;
        let exchanged = self
            .calls
            .by_access_token(&person.app, exchange)
            .await
            .map_err(PhoneNumberError::from);
        if let Some(counted) = counted
            && let Err(error) = &exchanged
            && is_surely_not_billed(error)
        {
            self.give_number_back(counted).await;
        }
        exchanged
    }

    /// Counts a number before WeChat is asked, unless its code was counted before: WeChat bills
    /// each code once.
    async fn count_number(
        &self,
        person: &Person,
        code: &PhoneCode,
    ) -> Result<Option<CountedNumber>, CountError> {
        let key = counted_phone_code(&person.app, code);
        if self.texts.get(&key).await?.is_some() {
            return Ok(None);
        }
        let a_day = |burst| Rate {
            burst,
            period: A_DAY,
        };
        let of_person = RateLimitKey::of_person(
            person,
            NUMBERS,
            "",
            a_day(self.limits.policy.phone_numbers_per_person),
        );
        let of_app = RateLimitKey::of_app(
            &person.app,
            NUMBERS,
            "",
            a_day(self.limits.policy.phone_numbers_per_app),
        );
        let counted_of_person = self
            .limits
            .rates
            .count(&of_person)
            .await
            .map_err(CountError::of_limit(PER_PERSON))?;
        let counted_of_app = match self.limits.rates.count(&of_app).await {
            Ok(counted) => counted,
            Err(LimitError::Store(error)) => return Err(error.into()),
            Err(LimitError::TooMany(refused)) => {
                self.limits
                    .rates
                    .uncount(&of_person, counted_of_person)
                    .await?;
                let app = person.app.as_str();
                bounded!(
                    error,
                    app,
                    app,
                    "the app has had as many phone numbers as WXMINT_PHONE_NUMBERS_PER_APP allows"
                );
                return Err(LimitReached {
                    limit: PER_APP,
                    refused,
                }
                .into());
            }
        };
        let counted = CountedNumber {
            of_person: (of_person, counted_of_person),
            of_app: (of_app, counted_of_app),
            key,
            attempt: AttemptId::random().to_string(),
        };
        // The code is marked only after it was counted, so that two requests with one code at the
        // same time cannot get past the limits.
        if self
            .texts
            .keep_first(&counted.key, &counted.attempt, CODE_KNOWN)
            .await?
            != counted.attempt
        {
            self.uncount_number(&counted).await?;
            return Ok(None);
        }
        Ok(Some(counted))
    }

    /// Uncounts a number that WeChat has not billed. If that fails, the number stays counted for a
    /// day.
    async fn give_number_back(&self, counted: CountedNumber) {
        let given_back = async {
            self.texts
                .delete_own(&counted.key, &counted.attempt)
                .await?;
            self.uncount_number(&counted).await
        };
        if let Err(error) = given_back.await {
            tracing::warn!(%error, "a phone number that WeChat has not billed stays counted");
        }
    }

    async fn uncount_number(&self, counted: &CountedNumber) -> Result<(), StoreError> {
        let CountedNumber {
            of_person, of_app, ..
        } = counted;
        self.limits.rates.uncount(&of_person.0, of_person.1).await?;
        self.limits.rates.uncount(&of_app.0, of_app.1).await?;
        Ok(())
    }
}

/// Whether WeChat has refused the call in a way that also refuses a concurrent call with the same
/// code. `CodeUsed` is not among these errors, because the concurrent call may have used the code
/// and got a number.
fn is_surely_not_billed(error: &PhoneNumberError) -> bool {
    match error {
        PhoneNumberError::CodeInvalid => true,
        PhoneNumberError::CodeUsed => false,
        PhoneNumberError::Request(error) => matches!(
            error,
            RequestError::App(AppRefusal::Unknown(_))
                | RequestError::WeChat(
                    WeChatRefusal::Person(_)
                        | WeChatRefusal::PhoneNumbersSpent(_)
                        | WeChatRefusal::Misconfigured { .. }
                        | WeChatRefusal::NotPermitted(_)
                )
        ),
    }
}
