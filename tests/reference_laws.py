"""The simulated human and the control laws of the reference, for one run, in Python's floats."""

import math

NAN = math.nan


def utility(accuracy, confidence, w):
    return accuracy - w * max(confidence - accuracy, 0.0)


def report(utilities, critiques, t, draws, w, noise, flip, delay, observe, bias, drift):
    """Of x = utility and of x = critique, s x_{t - delay} + bias + drift t + noise xi; NaN where nothing is said."""
    xi_u, xi_c = draws.standard_normal(2)
    turned, seen = draws.random(2)
    if t < delay or not seen < observe:
        return NAN, NAN
    s = -1.0 if turned < flip else 1.0
    fault = bias + drift * t
    return s * utilities[t - delay] + fault + noise * xi_u, s * critiques[t - delay] + fault + noise * xi_c


# --- control laws: lam is in force during the next epoch, S_ref is the set point, feedback what was reported -------------------


def clip(value, low, high):
    return min(max(value, low), high)


def control_error(y, S_ref):
    return clip(math.log(y / S_ref), -1.0, 1.0)


class Fixed:
    def __init__(self, lam0, _R):
        self.lam, self.S_ref, self.feedback = lam0, NAN, NAN

    def hear(self, t, r, c, xi):
        """Take the reported utility r and critique c of epoch t; xi is the policy's draw."""

    def feel(self, FF, critical_lam):
        """Take the squared force of epoch t, and the lam that would balance it."""

    def hold(self, t, S):
        """Set lam, having seen the entropy S of epoch t."""


class Thermostat(Fixed):
    def __init__(self, lam0, R, holds, setpoint, kappa, lam_min, lam_max, warmup, smoothing, kp, ki, anti_windup):
        self.holds = holds
        self.low, self.high = math.log(lam_min), math.log(lam_max)
        self.log_lam0 = clip(math.log(lam0) if lam0 > 0 else -math.inf, self.low, self.high)
        self.S_ref0 = kappa * (R if setpoint is None else setpoint)
        self.warmup, self.smoothing, self.kp, self.ki, self.anti_windup = warmup, smoothing, kp, ki, anti_windup
        self.lam, self.S_ref, self.feedback = math.exp(self.log_lam0), self.S_ref0, NAN
        self.y, self.I = None, 0.0

    def hold(self, t, S):
        self.y = S if self.y is None else (1 - self.smoothing) * self.y + self.smoothing * S
        e = control_error(self.y, self.S_ref)
        if t < self.warmup:
            self.I = -self.kp * e
            return
        v = self.log_lam0 + self.kp * e + self.I
        u = clip(v, self.low, self.high)
        self.I = self.I + self.ki * e + min(self.anti_windup * self.ki / self.kp, 1.0) * (u - v)
        self.lam = math.exp(u)


class Balance(Fixed):
    def __init__(self, lam0, R, holds, setpoint, kappa, lam_min, lam_max, warmup, smoothing, k):
        self.low, self.high, self.warmup, self.smoothing, self.k = lam_min, lam_max, warmup, smoothing, k
        self.S_ref = kappa * (R if setpoint is None else setpoint)
        self.lam, self.feedback, self.y = clip(lam0, lam_min, lam_max), NAN, None

    def feel(self, FF, critical_lam):
        self.FF, self.critical_lam = FF, critical_lam

    def hold(self, t, S):
        self.y = S if self.y is None else (1 - self.smoothing) * self.y + self.smoothing * S
        if t >= self.warmup:
            self.lam = clip(self.critical_lam + self.k * (self.y - self.S_ref) / self.FF, self.low, self.high)


class RLThermostat(Thermostat):
    def __init__(self, lam0, R, policy, alpha, c0, m_min, m_max, explore, baseline, **options):
        super().__init__(lam0, R, **options)
        self.policy, self.alpha, self.c0, self.m_min, self.m_max = policy, alpha, c0, m_min, m_max
        self.explore, self.baseline = explore, baseline
        self.m, self.mu, self.a, self.b = 0.0, 0.0, 0.0, None

    def hear(self, t, r, c, xi):
        self.feedback = c if self.policy == "critique" else r
        if t >= self.warmup and not math.isnan(self.feedback):
            if self.policy == "critique":
                self.m = clip(self.m - self.alpha * (c - self.c0), self.m_min, self.m_max)
            else:
                self.b = r if self.b is None else self.b
                score = (self.a - self.mu) / self.explore**2
                self.mu = clip(self.mu + self.alpha * (r - self.b) * score, self.m_min, self.m_max)
                self.b = self.b + self.baseline * (r - self.b)
                self.a = self.mu + self.explore * xi
                self.m = clip(self.a, self.m_min, self.m_max)
        self.S_ref = self.S_ref0 * math.exp(self.m)
