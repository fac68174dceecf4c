#include "auth/password.h"

#include <crypt.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>

#include <memory>

#include "base/check.h"

namespace keelson::auth {
namespace {

constexpr size_t kMostBytes = 72;
constexpr size_t kSaltBytes = 16;
constexpr size_t kSaltLetters = 22;
constexpr size_t kHead = 7;        // "$2a$10$"
constexpr size_t kHashBytes = 60;  // and the salt, and 31 letters of the hash

std::string settings(int cost, std::string_view salt) {
  std::string out = "$2b$";
  out += static_cast<char>('0' + cost / 10);
  out += static_cast<char>('0' + cost % 10);
  out += '$';
  out += salt;
  return out;
}

// bcrypt's own base 64, of 16 bytes.
std::string salt_letters(const unsigned char* bytes) {
  static constexpr char kLetters[] =
      "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
  std::string out;
  uint32_t bits = 0;
  int held = 0;
  for (size_t i = 0; i < kSaltBytes; ++i) {
    bits = bits * 256 + bytes[i];
    for (held += 8; held >= 6;) {
      held -= 6;
      out += kLetters[bits >> held & 63];
    }
  }
  out += kLetters[bits << (6 - held) & 63];
  CHECK(out.size() == kSaltLetters);
  return out;
}

// Empty: libcrypt does not know such settings.
std::string crypted(std::string_view password, const std::string& with) {
  // Some 32 KB, wiped: it has held the password.
  auto data = std::make_unique<crypt_data>();
  std::string zero_ended(password);
  const char* hash = crypt_r(zero_ended.c_str(), with.c_str(), data.get());
  std::string out = hash && hash[0] != '*' ? hash : "";
  OPENSSL_cleanse(zero_ended.data(), zero_ended.size());
  OPENSSL_cleanse(data.get(), sizeof *data);
  return out;
}

bool has_zero(std::string_view password) { return password.find('\0') != password.npos; }

}  // namespace

absl::StatusOr<std::string> hash_password(std::string_view password, int cost) {
  CHECK(cost >= kLeastBcryptCost);
  CHECK(cost <= kMostBcryptCost);
  if (password.size() > kMostBytes) {
    return absl::UnknownError("bcrypt: password length exceeds 72 bytes");
  }
  if (has_zero(password)) return absl::UnknownError("a password cannot have a zero byte");
  unsigned char salt[kSaltBytes];
  if (RAND_bytes(salt, sizeof salt) != 1) return absl::UnavailableError("no random bytes");
  std::string hash = crypted(password, settings(cost, salt_letters(salt)));
  if (hash.size() != kHashBytes) return absl::InternalError("libcrypt has no bcrypt");
  hash[2] = 'a';
  return hash;
}

bool password_matches(std::string_view hash, std::string_view password) {
  const int cost = cost_of(hash);
  if (cost == 0) return false;
  if (has_zero(password)) {
    waste_time_for("", cost);
    return false;
  }
  // As for Go: any letter before the cost, and no look at the spare bits of the salt's last one.
  const std::string made = crypted(password, settings(cost, hash.substr(kHead, kSaltLetters)));
  if (made.size() != kHashBytes) return false;
  constexpr size_t kSalted = kHead + kSaltLetters;
  return CRYPTO_memcmp(made.data() + kSalted, hash.data() + kSalted, kHashBytes - kSalted) == 0;
}

int cost_of(std::string_view hash) {
  if (hash.size() != kHashBytes || hash[0] != '$' || hash[1] != '2' || hash[3] != '$') return 0;
  if (hash[4] < '0' || hash[4] > '9' || hash[5] < '0' || hash[5] > '9' || hash[6] != '$') return 0;
  const int cost = (hash[4] - '0') * 10 + (hash[5] - '0');
  return cost >= kLeastBcryptCost && cost <= kMostBcryptCost ? cost : 0;
}

void waste_time_for(std::string_view password, int cost) {
  const std::string_view shown = has_zero(password) ? std::string_view() : password;
  static_cast<void>(crypted(shown, settings(cost, "abcdefghijklmnopqrstuu")));
}

}  // namespace keelson::auth
