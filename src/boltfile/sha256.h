// boltfile/sha256.h
//
// SHA-256 over bytes that come in pieces; OpenSSL's.
//
// Threads: a value; one caller at a time.

#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace keelson::boltfile {

constexpr size_t kSha256Size = 32;

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  void update(std::string_view bytes);
  // kSha256Size bytes. Called once.
  std::string finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace keelson::boltfile
