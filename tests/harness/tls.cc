#include "tests/harness/tls.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <string_view>

#include "base/text.h"

namespace keelson::harness {
namespace {

namespace fs = std::filesystem;

class Made {
 public:
  Made() {
    const char* base = std::getenv("TMPDIR");
    std::string pattern = cat(base != nullptr ? base : "/tmp", "/keelson-test-tls-XXXXXX");
    if (mkdtemp(pattern.data()) == nullptr) std::abort();
    home_ = pattern;
    tls_.certificate = home_ + "/cert.pem";
    tls_.key = home_ + "/key.pem";
    const std::string command =
        cat("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2",
            " -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1,DNS:localhost -keyout '",
            tls_.key, "' -out '", tls_.certificate, "' 2>'", home_, "/why'");
    if (std::system(command.c_str()) != 0) {
      std::cerr << "KEELSON_TEST_TLS needs openssl, which says:\n" << text_of(home_ + "/why");
      fs::remove_all(home_);
      std::exit(1);
    }
    tls_.pem = text_of(tls_.certificate);
  }
  ~Made() {
    std::error_code ignored;
    fs::remove_all(home_, ignored);
  }
  const TestTls& tls() const { return tls_; }

 private:
  static std::string text_of(const std::string& path) {
    std::ifstream in(path);
    return std::string(std::istreambuf_iterator<char>(in), {});
  }

  std::string home_;
  TestTls tls_;
};

}  // namespace

const TestTls* test_tls() {
  static const std::unique_ptr<Made> made = [] {
    const char* wanted = std::getenv("KEELSON_TEST_TLS");
    const bool on = wanted != nullptr && *wanted != '\0' && std::string_view(wanted) != "0";
    return on ? std::make_unique<Made>() : nullptr;
  }();
  return made ? &made->tls() : nullptr;
}

}  // namespace keelson::harness
