// Any bytes as a token that says itself whose it is: what nobody signed is nobody's, and what is
// signed says either who it is or nothing, whatever it holds.
//
// The first byte chooses: the rest is a token; or the claims of one that is signed here; or its
// head; or a user's name.
// Without KEELSON_FUZZER this file is part of the corpus test.

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "auth/base64.h"
#include "auth/jwt.h"
#include "base/check.h"
#include "base/text.h"
#include "base/utf8.h"

namespace keelson::auth {
namespace {

constexpr std::string_view kSecret = "a secret of the fuzzer";
constexpr std::string_view kHead = R"({"alg":"HS256","typ":"JWT"})";
constexpr Duration kNow = std::chrono::seconds(1'700'000'000);

const Jwt& jwt() {
  static const std::unique_ptr<Jwt> made =
      Jwt::create({.method = "HS256", .public_key = "", .private_key = std::string(kSecret)})
          .value();
  return *made;
}

std::string signed_token(std::string_view head, std::string_view claims) {
  const std::string text = cat(encode_base64_url(head), ".", encode_base64_url(claims));
  unsigned char sum[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  HMAC(EVP_sha256(), kSecret.data(), static_cast<int>(kSecret.size()),
       reinterpret_cast<const unsigned char*>(text.data()), text.size(), sum, &size);
  return cat(text, ".",
             encode_base64_url(std::string_view(reinterpret_cast<const char*>(sum), size)));
}

void look_at(const std::optional<Jwt::Claims>& claims) {
  if (!claims) return;
  // Whoever it is, the times make sense of some kind.
  if (claims->good_at(kNow)) CHECK(claims->not_before < claims->expires);
}

void sign(std::string_view user) {
  absl::StatusOr<std::string> token = jwt().sign(user, 7, kNow);
  CHECK(token.ok());
  std::optional<Jwt::Claims> claims = jwt().verify(*token);
  CHECK(claims.has_value());
  CHECK(claims->revision == 7);
  CHECK(claims->good_at(kNow));
  CHECK(!claims->good_at(kNow + std::chrono::minutes(5)));
  // JSON is UTF-8, so any other name is changed, perhaps into one that is as long.
  if (is_utf8(user)) CHECK(claims->user == user);
}

}  // namespace

void fuzz_token(std::string_view input) {
  const uint8_t choice = input.empty() ? 0 : static_cast<uint8_t>(input.front());
  input.remove_prefix(input.empty() ? 0 : 1);
  switch (choice % 4) {
    case 0:
      CHECK(!jwt().verify(input).has_value());  // 256 bits that nobody guesses
      return;
    case 1:
      return look_at(jwt().verify(signed_token(kHead, input)));
    case 2:
      return look_at(jwt().verify(signed_token(input, R"({"username":"u","revision":1})")));
    default:
      return sign(input);
  }
}

}  // namespace keelson::auth

#ifdef KEELSON_FUZZER
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  keelson::auth::fuzz_token({reinterpret_cast<const char*>(data), size});
  return 0;
}
#endif
