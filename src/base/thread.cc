#include "base/thread.h"

#include <memory>
#include <utility>

#include "base/check.h"

namespace keelson {
namespace {

using Body = absl::AnyInvocable<void()>;

void* run(void* body) {
  std::unique_ptr<Body> owned(static_cast<Body*>(body));
  (*owned)();
  return nullptr;
}

}  // namespace

Thread::Thread(Body body, size_t stack) : made_(true) {
  pthread_attr_t attributes;
  CHECK(pthread_attr_init(&attributes) == 0);
  CHECK(pthread_attr_setstacksize(&attributes, stack) == 0);
  auto owned = std::make_unique<Body>(std::move(body));
  CHECK(pthread_create(&thread_, &attributes, &run, owned.get()) == 0);
  static_cast<void>(owned.release());
  pthread_attr_destroy(&attributes);
}

Thread& Thread::operator=(Thread&& other) noexcept {
  CHECK(!made_);
  thread_ = other.thread_;
  made_ = std::exchange(other.made_, false);
  return *this;
}

Thread::~Thread() { CHECK(!made_); }

void Thread::join() {
  CHECK(made_);
  CHECK(pthread_join(thread_, nullptr) == 0);
  made_ = false;
}

}  // namespace keelson
