#include "tests/attack/raw_client.h"

#include <chrono>

namespace keelson::attack {

namespace h2 = harness::h2;

RawClient::RawClient(const std::string& address, Reading reading, uint32_t window)
    : connection_(address), window_(window) {
  if (reading == Reading::kNo || !connection_.connected()) return;
  reader_ = std::thread([this] {
    while (!connection_.ended()) connection_.receive(std::chrono::hours(1));
  });
}

RawClient::~RawClient() {
  cut();
  if (reader_.joinable()) reader_.join();
}

bool RawClient::hello() {
  std::string bytes =
      h2::preface() + h2::setting(4, window_) + h2::frame(h2::kSettings, h2::kAck, 0, "");
  if (window_ > 65535) bytes += h2::window_update(0, window_ - 65535);
  return send(bytes);
}

bool RawClient::send(std::string_view bytes) {
  return connection_.send(bytes, std::chrono::hours(1));
}

void RawClient::send_some(std::string_view bytes) {
  stuck_ = stuck_ || !connection_.send(bytes, std::chrono::milliseconds(0));
}

}  // namespace keelson::attack
