#include "queue.hpp"

#include <map>
#include <mutex>

#include "state.hpp"

namespace {
std::map<uintptr_t, std::shared_ptr<Stream>> streams;
std::map<uintptr_t, std::shared_ptr<Event>> events;
std::map<uintptr_t, std::shared_ptr<Graph>> graphs;
uintptr_t next_handle = 0x1000;
constexpr uintptr_t legacy = 1;

// What a handle stands for; null where it is nothing of the current context.
template <typename Things>
typename Things::mapped_type found_in(const Things& all, uintptr_t handle) {
  auto found = all.find(handle);
  return found != all.end() && found->second->context == current() ? found->second : nullptr;
}
}  // namespace

void Stream::enqueue(Work work) {
  if (capture) {
    capture->work.push_back(std::move(work));
    return;
  }
  queue.push_back(std::move(work));
  ++enqueued;
}

void Stream::run_until(unsigned long long ticket) {
  while (done < ticket && !queue.empty()) {
    Work work = std::move(queue.front());
    queue.pop_front();
    work();
    ++done;
  }
}

std::shared_ptr<Stream> stream_of(uintptr_t handle) {
  if (handle > legacy) return found_in(streams, handle);
  auto& stream = streams[current()];  // no handle is so small
  if (!stream) stream = std::make_shared<Stream>(current(), true);
  return stream;
}

void run_all() {
  for (auto& [handle, stream] : streams) stream->run();
}

// Orders a stream's next work behind what the legacy default stream promises.
static void join_legacy(uintptr_t handle, Stream& stream) {
  if (handle <= legacy) {
    for (auto& [other, each] : streams)
      if (each->blocking && each->context == current()) each->run();
  } else if (stream.blocking) {
    stream_of(legacy)->run();
  }
}

Result enqueue(uintptr_t handle, Work work) {
  if (int error = ready()) return Result(error);
  auto stream = stream_of(handle);
  if (!stream) return INVALID_HANDLE;
  if (!stream->capture) join_legacy(handle, *stream);
  stream->enqueue(std::move(work));
  return SUCCESS;
}

DRIVER_API int cuStreamCreate(uintptr_t* handle, unsigned flags) {
  Turn turn;
  if (int error = ready()) return error;
  *handle = next_handle += 16;
  streams[*handle] = std::make_shared<Stream>(current(), flags != 1);
  return SUCCESS;
}
DRIVER_API int cuStreamDestroy_v2(uintptr_t handle) {
  Turn turn;
  auto stream = stream_of(handle);
  if (!stream || handle <= legacy) return INVALID_HANDLE;
  stream->run();
  streams.erase(handle);
  return SUCCESS;
}
DRIVER_API int cuStreamSynchronize(uintptr_t handle) {
  Turn turn;
  if (int error = ready()) return error;
  auto stream = stream_of(handle);
  if (!stream) return INVALID_HANDLE;
  if (stream->capture) {
    stream->capture->valid = false;
    return CAPTURE_UNSUPPORTED;
  }
  join_legacy(handle, *stream);
  stream->run();
  return failure();
}
DRIVER_API int cuStreamWaitEvent(uintptr_t handle, uintptr_t event, unsigned) {
  Turn turn;
  auto found = found_in(events, event);
  if (!found) return INVALID_HANDLE;
  Event recorded = *found;  // as it stands now, whatever is recorded later
  return enqueue(handle, [recorded] {
    if (recorded.stream) recorded.stream->run_until(recorded.ticket);
  });
}

DRIVER_API int cuEventCreate(uintptr_t* handle, unsigned flags) {
  Turn turn;
  constexpr unsigned disable_timing = 2;
  if (int error = ready()) return error;
  *handle = next_handle += 16;
  events[*handle] = std::make_shared<Event>(Event{current(), !(flags & disable_timing)});
  return SUCCESS;
}
DRIVER_API int cuEventDestroy_v2(uintptr_t handle) {
  Turn turn;
  return found_in(events, handle) && events.erase(handle) ? SUCCESS : INVALID_HANDLE;
}
DRIVER_API int cuEventRecord(uintptr_t handle, uintptr_t stream) {
  Turn turn;
  auto event = found_in(events, handle);
  if (!event) return INVALID_HANDLE;
  Result result = enqueue(stream, [event] { event->moment = std::chrono::steady_clock::now(); });
  event->stream = stream_of(stream);
  if (event->stream) event->ticket = event->stream->enqueued;
  return result;
}
DRIVER_API int cuEventSynchronize(uintptr_t handle) {
  Turn turn;
  auto event = found_in(events, handle);
  if (!event) return INVALID_HANDLE;
  if (event->stream) event->stream->run_until(event->ticket);
  return failure();
}
DRIVER_API int cuEventElapsedTime(float* milliseconds, uintptr_t start, uintptr_t end) {
  Turn turn;
  auto from = found_in(events, start), to = found_in(events, end);
  if (!from || !to || !from->timed || !to->timed) return INVALID_HANDLE;
  auto passed = to->moment - from->moment;
  *milliseconds = std::chrono::duration<float, std::milli>(passed).count();
  return SUCCESS;
}

DRIVER_API int cuStreamBeginCapture_v2(uintptr_t handle, int) {
  Turn turn;
  if (int error = ready()) return error;
  auto stream = stream_of(handle);
  if (!stream || handle <= legacy) return INVALID_HANDLE;
  if (stream->capture) return INVALID_VALUE;
  stream->capture = std::make_unique<Capture>();
  return SUCCESS;
}
DRIVER_API int cuStreamEndCapture(uintptr_t handle, uintptr_t* graph) {
  Turn turn;
  *graph = 0;
  auto stream = stream_of(handle);
  if (!stream || !stream->capture) return INVALID_VALUE;
  auto capture = std::move(stream->capture);
  if (!capture->valid) return CAPTURE_INVALIDATED;
  *graph = next_handle += 16;
  graphs[*graph] = std::make_shared<Graph>(Graph{current(), std::move(capture->work)});
  return SUCCESS;
}
DRIVER_API int cuGraphInstantiateWithFlags(uintptr_t* executable, uintptr_t graph,
                                           unsigned long long) {
  Turn turn;
  auto found = found_in(graphs, graph);
  if (!found) return INVALID_VALUE;
  *executable = next_handle += 16;
  graphs[*executable] = found;
  return SUCCESS;
}
DRIVER_API int cuGraphLaunch(uintptr_t executable, uintptr_t stream) {
  Turn turn;
  auto graph = found_in(graphs, executable);
  if (!graph) return INVALID_VALUE;
  return enqueue(stream, [graph] {
    for (auto& work : graph->work) work();
  });
}
DRIVER_API int cuGraphDestroy(uintptr_t graph) {
  Turn turn;
  return found_in(graphs, graph) && graphs.erase(graph) ? SUCCESS : INVALID_VALUE;
}
DRIVER_API int cuGraphExecDestroy(uintptr_t executable) { return cuGraphDestroy(executable); }
