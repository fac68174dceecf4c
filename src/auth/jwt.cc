#include "auth/jwt.h"

#include <openssl/bio.h>
#include <openssl/decoder.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "auth/base64.h"
#include "base/check.h"
#include "base/text.h"

namespace keelson::auth {

struct Jwt::Method {
  std::string_view name;
  Family family;
  const EVP_MD* (*digest)();
  int key_type;      // EVP_PKEY_…
  int curve_bits;    // of the key; 0: any
  size_t part_size;  // of each half of an ECDSA signature
};

namespace {

using Key = std::shared_ptr<EVP_PKEY>;
using nlohmann::json;

constexpr std::string_view kMissingKey = "auth: missing key data";
constexpr std::string_view kMismatch = "auth: public and private keys don't match";
constexpr std::string_view kVerifyOnly = "auth: token signing attempted with verify-only key";

template <auto free>
struct Freed {
  template <typename T>
  void operator()(T* p) const {
    free(p);
  }
};
using Bio = std::unique_ptr<BIO, Freed<BIO_free_all>>;
using DigestContext = std::unique_ptr<EVP_MD_CTX, Freed<EVP_MD_CTX_free>>;
using Signature = std::unique_ptr<ECDSA_SIG, Freed<ECDSA_SIG_free>>;
using Certificate = std::unique_ptr<X509, Freed<X509_free>>;
using Decoder = std::unique_ptr<OSSL_DECODER_CTX, Freed<OSSL_DECODER_CTX_free>>;

Key owned(EVP_PKEY* key) { return Key(key, EVP_PKEY_free); }

const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}
unsigned char* bytes_of(std::string& text) { return reinterpret_cast<unsigned char*>(text.data()); }

// Null: there is no such key in it. A password would be asked for on the terminal; there is none.
Key read_key(std::string_view pem, int selection) {
  EVP_PKEY* key = nullptr;
  Decoder decoder(
      OSSL_DECODER_CTX_new_for_pkey(&key, "PEM", nullptr, nullptr, selection, nullptr, nullptr));
  if (!decoder) return nullptr;
  OSSL_DECODER_CTX_set_passphrase(decoder.get(), bytes_of(std::string_view("")), 0);
  const unsigned char* at = bytes_of(pem);
  size_t left = pem.size();
  if (OSSL_DECODER_from_data(decoder.get(), &at, &left) != 1) {
    EVP_PKEY_free(key);
    ERR_clear_error();
    return nullptr;
  }
  return owned(key);
}

// Also out of a certificate.
Key read_public_key(std::string_view pem) {
  if (Key key = read_key(pem, EVP_PKEY_PUBLIC_KEY)) return key;
  Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  Certificate certificate(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  ERR_clear_error();
  return certificate ? owned(X509_get_pubkey(certificate.get())) : nullptr;
}

// JWS has the two numbers side by side, OpenSSL in DER.
std::string der_to_plain(std::string_view der, size_t part) {
  const unsigned char* at = bytes_of(der);
  Signature sig(d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size())));
  CHECK(sig != nullptr);
  std::string out(2 * part, '\0');
  BN_bn2binpad(ECDSA_SIG_get0_r(sig.get()), bytes_of(out), static_cast<int>(part));
  BN_bn2binpad(ECDSA_SIG_get0_s(sig.get()), bytes_of(out) + part, static_cast<int>(part));
  return out;
}

std::string plain_to_der(std::string_view plain, size_t part) {
  Signature sig(ECDSA_SIG_new());
  const int size = static_cast<int>(part);
  ECDSA_SIG_set0(sig.get(), BN_bin2bn(bytes_of(plain), size, nullptr),
                 BN_bin2bn(bytes_of(plain) + part, size, nullptr));
  unsigned char* der = nullptr;
  const int length = i2d_ECDSA_SIG(sig.get(), &der);
  std::string out = length > 0 ? std::string(reinterpret_cast<char*>(der), length) : "";
  OPENSSL_free(der);
  return out;
}

std::optional<json> parse_object(std::string_view part) {
  std::string text;
  if (!decode_base64_url(part, &text)) return std::nullopt;
  json parsed = json::parse(text, nullptr, false);
  if (!parsed.is_object()) return std::nullopt;
  return parsed;
}

// Whole seconds; nothing where there is no such claim, or 0. False: it is no number.
bool read_time(const json& claims, const char* name, Duration* out) {
  auto found = claims.find(name);
  if (found == claims.end()) return true;
  if (!found->is_number()) return false;
  const double seconds = std::trunc(found->get<double>());
  if (seconds == 0) return true;
  // What nanoseconds can count to.
  constexpr double kMost = 9.2e9;
  *out = std::chrono::seconds(static_cast<int64_t>(std::min(std::max(seconds, -kMost), kMost)));
  return true;
}

std::optional<Jwt::Claims> read_claims(const json& claims) {
  Jwt::Claims out;
  auto user = claims.find("username");
  auto revision = claims.find("revision");
  if (user == claims.end() || !user->is_string()) return std::nullopt;
  if (revision == claims.end() || !revision->is_number()) return std::nullopt;
  out.user = user->get<std::string>();
  const double number = revision->get<double>();
  if (number >= 1 && number < 1.8e19) out.revision = static_cast<uint64_t>(number);
  if (!read_time(claims, "exp", &out.expires)) return std::nullopt;
  if (!read_time(claims, "nbf", &out.not_before)) return std::nullopt;
  return out;
}

}  // namespace

const Jwt::Method* Jwt::find_method(std::string_view name) {
  static constexpr Method kMethods[] = {
      {"HS256", Family::kHmac, EVP_sha256, 0, 0, 0},
      {"HS384", Family::kHmac, EVP_sha384, 0, 0, 0},
      {"HS512", Family::kHmac, EVP_sha512, 0, 0, 0},
      {"RS256", Family::kRsa, EVP_sha256, EVP_PKEY_RSA, 0, 0},
      {"RS384", Family::kRsa, EVP_sha384, EVP_PKEY_RSA, 0, 0},
      {"RS512", Family::kRsa, EVP_sha512, EVP_PKEY_RSA, 0, 0},
      {"PS256", Family::kRsaPss, EVP_sha256, EVP_PKEY_RSA, 0, 0},
      {"PS384", Family::kRsaPss, EVP_sha384, EVP_PKEY_RSA, 0, 0},
      {"PS512", Family::kRsaPss, EVP_sha512, EVP_PKEY_RSA, 0, 0},
      {"ES256", Family::kEcdsa, EVP_sha256, EVP_PKEY_EC, 256, 32},
      {"ES384", Family::kEcdsa, EVP_sha384, EVP_PKEY_EC, 384, 48},
      {"ES512", Family::kEcdsa, EVP_sha512, EVP_PKEY_EC, 521, 66},
      {"EdDSA", Family::kEdDsa, nullptr, EVP_PKEY_ED25519, 0, 0},
  };
  for (const Method& method : kMethods) {
    if (method.name == name) return &method;
  }
  return nullptr;
}

Jwt::~Jwt() = default;

absl::StatusOr<std::unique_ptr<Jwt>> Jwt::create(JwtOptions options) {
  const Method* method = find_method(options.method);
  if (method == nullptr) {
    return absl::InvalidArgumentError("auth: invalid auth options");
  }
  std::unique_ptr<Jwt> jwt(new Jwt(*method, options.ttl));
  if (absl::Status s = jwt->load_keys(options); !s.ok()) return s;
  return jwt;
}

absl::Status Jwt::load_keys(const JwtOptions& options) {
  if (method_.family == Family::kHmac) {
    secret_ = options.private_key;
    may_sign_ = true;
    return secret_.empty() ? absl::InvalidArgumentError(to_absl(kMissingKey)) : absl::OkStatus();
  }
  Key public_key, private_key;
  auto read = [&](std::string_view pem, bool is_private, Key* out) -> absl::Status {
    if (pem.empty()) return absl::OkStatus();
    *out = is_private ? read_key(pem, EVP_PKEY_KEYPAIR) : read_public_key(pem);
    const bool fits =
        *out && EVP_PKEY_get_base_id(out->get()) == method_.key_type &&
        (method_.curve_bits == 0 || EVP_PKEY_get_bits(out->get()) == method_.curve_bits);
    if (fits) return absl::OkStatus();
    return absl::InvalidArgumentError(
        cat("key is not a valid ", is_private ? "private" : "public", " key for ", method_.name));
  };
  if (absl::Status s = read(options.private_key, true, &private_key); !s.ok()) return s;
  if (absl::Status s = read(options.public_key, false, &public_key); !s.ok()) return s;
  if (!private_key && !public_key) return absl::InvalidArgumentError(to_absl(kMissingKey));
  if (private_key && public_key && EVP_PKEY_eq(private_key.get(), public_key.get()) != 1) {
    return absl::InvalidArgumentError(to_absl(kMismatch));
  }
  may_sign_ = private_key != nullptr;
  key_ = may_sign_ ? std::move(private_key) : std::move(public_key);
  return absl::OkStatus();
}

absl::StatusOr<std::string> Jwt::sign(std::string_view user, uint64_t revision,
                                      Duration unix_time) const {
  if (!may_sign_) return absl::UnknownError(to_absl(kVerifyOnly));
  const json header = {{"alg", std::string(method_.name)}, {"typ", "JWT"}};
  const int64_t expires = std::chrono::floor<std::chrono::seconds>(unix_time + ttl_).count();
  const json claims = {{"exp", expires}, {"revision", revision}, {"username", std::string(user)}};
  auto text_of = [](const json& part) {
    return part.dump(-1, ' ', false, json::error_handler_t::replace);  // which never throws
  };
  std::string text =
      cat(encode_base64_url(text_of(header)), ".", encode_base64_url(text_of(claims)));
  absl::StatusOr<std::string> signature = signature_of(text);
  if (!signature.ok()) return signature.status();
  return cat(text, ".", encode_base64_url(*signature));
}

std::optional<Jwt::Claims> Jwt::verify(std::string_view token) const {
  const size_t first = token.find('.');
  const size_t second = token.find('.', first == token.npos ? first : first + 1);
  if (second == token.npos || token.find('.', second + 1) != token.npos) return std::nullopt;
  std::optional<json> header = parse_object(token.substr(0, first));
  // The token does not choose how it is verified.
  if (!header || !header->contains("alg") || (*header)["alg"] != std::string(method_.name)) {
    return std::nullopt;
  }
  std::string signature;
  if (!decode_base64_url(token.substr(second + 1), &signature)) return std::nullopt;
  if (!signature_holds(token.substr(0, second), signature)) return std::nullopt;
  std::optional<json> claims = parse_object(token.substr(first + 1, second - first - 1));
  return claims ? read_claims(*claims) : std::nullopt;
}

std::string Jwt::hmac(std::string_view text) const {
  std::string out(EVP_MAX_MD_SIZE, '\0');
  unsigned int size = 0;
  HMAC(method_.digest(), secret_.data(), static_cast<int>(secret_.size()), bytes_of(text),
       text.size(), bytes_of(out), &size);
  out.resize(size);
  return out;
}

bool Jwt::signature_holds(std::string_view text, std::string_view signature) const {
  if (method_.family == Family::kHmac) {
    const std::string made = hmac(text);
    return made.size() == signature.size() &&
           CRYPTO_memcmp(made.data(), signature.data(), made.size()) == 0;
  }
  std::string der;
  if (method_.family == Family::kEcdsa) {
    if (signature.size() != 2 * method_.part_size) return false;
    der = plain_to_der(signature, method_.part_size);
    signature = der;
  }
  DigestContext context(EVP_MD_CTX_new());
  EVP_PKEY_CTX* key_context = nullptr;
  const EVP_MD* digest = method_.digest ? method_.digest() : nullptr;
  bool holds = EVP_DigestVerifyInit(context.get(), &key_context, digest, nullptr, key_.get()) == 1;
  if (holds && method_.family == Family::kRsaPss) {
    holds = EVP_PKEY_CTX_set_rsa_padding(key_context, RSA_PKCS1_PSS_PADDING) == 1 &&
            EVP_PKEY_CTX_set_rsa_pss_saltlen(key_context, RSA_PSS_SALTLEN_AUTO) == 1;
  }
  holds = holds && EVP_DigestVerify(context.get(), bytes_of(signature), signature.size(),
                                    bytes_of(text), text.size()) == 1;
  ERR_clear_error();
  return holds;
}

absl::StatusOr<std::string> Jwt::signature_of(std::string_view text) const {
  if (method_.family == Family::kHmac) return hmac(text);
  DigestContext context(EVP_MD_CTX_new());
  EVP_PKEY_CTX* key_context = nullptr;
  const EVP_MD* digest = method_.digest ? method_.digest() : nullptr;
  bool ok = EVP_DigestSignInit(context.get(), &key_context, digest, nullptr, key_.get()) == 1;
  if (ok && method_.family == Family::kRsaPss) {
    ok = EVP_PKEY_CTX_set_rsa_padding(key_context, RSA_PKCS1_PSS_PADDING) == 1 &&
         EVP_PKEY_CTX_set_rsa_pss_saltlen(key_context, RSA_PSS_SALTLEN_DIGEST) == 1;
  }
  std::string out;
  size_t size = 0;
  ok = ok && EVP_DigestSign(context.get(), nullptr, &size, bytes_of(text), text.size()) == 1;
  out.resize(size);
  ok = ok && EVP_DigestSign(context.get(), bytes_of(out), &size, bytes_of(text), text.size()) == 1;
  ERR_clear_error();
  // Such a small RSA key, say, that the digest does not fit.
  if (!ok) return absl::UnknownError("the token could not be signed with this key");
  out.resize(size);
  return method_.family == Family::kEcdsa ? der_to_plain(out, method_.part_size) : out;
}

}  // namespace keelson::auth
