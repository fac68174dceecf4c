#include "auth/token_text.h"

#include <openssl/rand.h>
#include <openssl/sha.h>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"

namespace keelson::auth {

absl::StatusOr<std::string> random_letters() {
  static constexpr std::string_view kLetters =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  static constexpr size_t kWanted = 16;
  std::string out;
  while (out.size() < kWanted) {
    unsigned char bytes[2 * kWanted];
    if (RAND_bytes(bytes, sizeof bytes) != 1) {
      return absl::UnavailableError("the system has no random bytes");
    }
    for (unsigned char byte : bytes) {
      // The rest would make some letters likelier than others.
      if (byte < 256 / kLetters.size() * kLetters.size() && out.size() < kWanted) {
        out += kLetters[byte % kLetters.size()];
      }
    }
  }
  return out;
}

std::string fingerprint(std::string_view token) {
  unsigned char sum[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(token.data()), token.size(), sum);
  return absl::BytesToHexString({reinterpret_cast<const char*>(sum), 6});
}

}  // namespace keelson::auth
