// Takes the place of the global class in the bundle of the program, where Connect uses it: Node's own comes with all of
// its HTTP client, which takes 20 ms and 2 MB of memory to load at the first call.
export { Headers } from "headers-polyfill";
