#include "net/tls/fresh.h"

#include <sys/stat.h>

#include <cstdint>
#include <ctime>

#include "base/log.h"
#include "base/text.h"

namespace keelson::net {
namespace {

// A file changed this recently may change again without its times telling.
constexpr int64_t kSettledNanoseconds = 1'000'000'000;

}  // namespace

std::string fingerprint_of(const TlsSettings& settings) {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  std::string text;
  for (const std::string* path :
       {&settings.cert_file, &settings.key_file, &settings.client_cert_file,
        &settings.client_key_file, &settings.trusted_ca_file, &settings.crl_file}) {
    if (path->empty()) continue;
    struct stat s {};
    if (stat(path->c_str(), &s) != 0) {
      text += "absent;";
      continue;
    }
    const int64_t age =
        (now.tv_sec - s.st_mtim.tv_sec) * 1'000'000'000 + now.tv_nsec - s.st_mtim.tv_nsec;
    if (age < kSettledNanoseconds) return "";
    text += cat(s.st_dev, ":", s.st_ino, ":", s.st_size, ":", s.st_mtim.tv_sec, ".",
                s.st_mtim.tv_nsec, ";");
  }
  // Without files there is nothing to look at, and that does not change.
  return text + "all";
}

void log_fresh_tls(const TlsSettings& settings) {
  log::info("TLS files have changed and are in force",
            {{"cert-file", settings.cert_file}, {"trusted-ca-file", settings.trusted_ca_file}});
}

void log_useless_tls(const TlsSettings& settings, const absl::Status& why, std::string* complaint) {
  std::string text(message_of(why));
  if (text == *complaint) return;
  log::warn("changed TLS files cannot be used; those from before stay in force",
            {{"cert-file", settings.cert_file}, {"key-file", settings.key_file}, {"error", text}});
  *complaint = std::move(text);
}

}  // namespace keelson::net
