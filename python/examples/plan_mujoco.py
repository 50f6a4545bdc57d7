"""A planner on a MuJoCo model of one's own: MPPI swings up a cart-pole, its rollouts on all cores."""

import mujoco
import mujoco.rollout
import numpy as np

import hstep

XML = """<mujoco><option timestep="0.02"/><worldbody><body>
  <joint name="slide" type="slide" axis="1 0 0" limited="true" range="-2 2" damping="0.1"/>
  <geom type="box" size=".1 .05 .05" mass="1"/>
  <body><joint name="hinge" type="hinge" axis="0 1 0" damping="0.01"/>
    <geom type="capsule" fromto="0 0 0 0 0 0.6" size=".03" mass="0.1"/></body>
</body></worldbody><actuator><motor joint="slide" gear="10" ctrlrange="-1 1"/></actuator></mujoco>"""
model = mujoco.MjModel.from_xml_string(XML)
data = [mujoco.MjData(model)]


def step(state, action):
    """Two steps of the engine with the same action, for a batch [B,S] and [B,A]."""
    controls = np.repeat(action[:, None, :], 2, axis=1)
    states, _ = mujoco.rollout.rollout(model, data, initial_state=state, control=controls)
    following = states[:, -1]
    x, angle = following[:, 1], following[:, 2]  # after the time
    reward = np.cos(angle) - 0.1 * x**2 - 0.01 * action[:, 0] ** 2
    return following, reward


size = mujoco.mj_stateSize(model, mujoco.mjtState.mjSTATE_FULLPHYSICS)
state = np.zeros(size)
state[2] = np.pi  # hanging down
start, total = None, 0.0
for t in range(100):
    plan = hstep.plan.mppi(step, state, 40, low=[-1], high=[1], start=start, samples=100, noise=0.6, rng=t)
    (state,), (reward,) = step(state[None], plan.first[None])
    start, total = plan.shifted(), total + reward
print(f"return {total:.1f} of at most 100, the pole ends at cos(angle) = {np.cos(state[2]):.2f}")
