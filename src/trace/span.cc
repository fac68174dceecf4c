#include "trace/span.h"

#include "base/utf8.h"
#include "trace/tracer.h"

namespace keelson::trace {
namespace {

// As it will be sent, so that what is counted is what a collector gets: of what is no character
// each byte becomes three.
std::string cut(std::string_view text) {
  std::string shown = to_utf8(text.substr(0, Span::kMostText));
  if (shown.size() <= Span::kMostText) return shown;
  size_t end = Span::kMostText;
  while (end > 0 && (static_cast<unsigned char>(shown[end]) & 0xc0) == 0x80) --end;
  shown.resize(end);
  return shown;
}

size_t bytes_of(const std::vector<Attribute>& attributes) {
  size_t bytes = 0;
  for (const Attribute& attribute : attributes) {
    const auto* text = std::get_if<std::string>(&attribute.value);
    bytes += sizeof attribute + attribute.key.size() + (text ? text->size() : 0);
  }
  return bytes;
}

}  // namespace

Span::Span(Tracer* tracer, Start start)
    : tracer_(tracer),
      start_(std::move(start)),
      began_(tracer->clock().unix_time()),
      started_(tracer->clock().now()) {}

// By the clock that does not jump, so that nothing ends before it began.
Duration Span::now() const { return began_ + (tracer_->clock().now() - started_); }

void Span::set(std::string_view key, std::string_view value) {
  attributes_.push_back({key, cut(value)});
}

void Span::event(std::string_view name, std::vector<Attribute> attributes) {
  if (events_.size() == kMostEvents) return;
  events_.push_back({name, now(), std::move(attributes)});
}

// Go's name for the type of nearly all of etcd's errors.
void Span::record_error(std::string_view message) {
  event("exception", {{"exception.type", std::string("*errors.errorString")},
                      {"exception.message", cut(message)}});
}

void Span::fail(std::string_view message) {
  failed_ = true;
  failure_ = cut(message);
}

size_t Span::bytes() const {
  size_t bytes = sizeof *this + start_.name.size() + start_.context.state.size() + failure_.size() +
                 bytes_of(attributes_);
  for (const Event& event : events_) {
    bytes += sizeof event + event.name.size() + bytes_of(event.attributes);
  }
  return bytes;
}

void EndSpan::operator()(Span* span) const { span->tracer().end(std::unique_ptr<Span>(span)); }

}  // namespace keelson::trace
