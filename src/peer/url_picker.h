// peer/url_picker.h
//
// UrlPicker says at which of its URLs a member is asked: always the same one until it cannot be
// reached there.
//
// Threads: one.

#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "net/http_client.h"

namespace keelson::peer {

class UrlPicker {
 public:
  explicit UrlPicker(std::vector<std::string> urls) { update(std::move(urls)); }

  void update(std::vector<std::string> urls) {
    urls_ = std::move(urls);
    picked_ = 0;
  }
  const std::vector<std::string>& urls() const { return urls_; }

  // Empty if there is none.
  std::string pick() const { return urls_.empty() ? std::string() : urls_[picked_]; }
  // The next one is picked, if that was it.
  void unreachable(const std::string& url) {
    if (pick() == url && !urls_.empty()) picked_ = (picked_ + 1) % urls_.size();
  }

 private:
  std::vector<std::string> urls_;
  size_t picked_ = 0;  // < urls_.size() unless that is 0
};

}  // namespace keelson::peer
