// libFuzzer: the bytes choose what is done to a member, message by message.

#include <cstddef>
#include <cstdint>

#include "raft/hostile_world.h"

namespace keelson::raft {
namespace {

// Each draw takes one byte, as the top one, which is what below() looks at. Zeros at the end.
class InputRandom final : public Random {
 public:
  InputRandom(const uint8_t* data, size_t size) : data_(data), size_(size) {}
  uint64_t next() override {
    if (size_ == 0) return 0;
    --size_;
    const uint64_t byte = *data_++;
    return byte << 56 | byte;
  }
  bool exhausted() const { return size_ == 0; }

 private:
  const uint8_t* data_;
  size_t size_;
};

}  // namespace
}  // namespace keelson::raft

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  keelson::raft::InputRandom random(data, size);
  keelson::raft::Victim victim(random);
  for (int step = 0; step < 500 && !random.exhausted(); ++step) victim.step();
  return 0;
}
